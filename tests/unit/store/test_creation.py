"""Many processes at once: the first of them makes the database, and none is ever told that it is locked."""

from __future__ import annotations

import multiprocessing
import os
import random
import sqlite3
import stat
import traceback
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from cronq.errors import StoreFull
from cronq.model import Outcome
from cronq.store import NewJob, Place, RunQuery, Store
from cronq.store.sqlite import open_store
from tests.unit.store.builders import NOW, add, definition

CROWD = 20
DEADLINE_S = 90

# Forked, because a crowd of fresh interpreters would not be there at the same moment. No connection is open
# in the parent: SQLite's must not cross a fork.
_context = multiprocessing.get_context("fork")


def crowd(work: Callable[[int], None], size: int = CROWD) -> list[str]:
    """Run the work in so many processes at the same moment; return the tracebacks of those that failed."""
    barrier = _context.Barrier(size)
    errors = _context.SimpleQueue()
    members = [_context.Process(target=_member, args=(work, n, barrier, errors)) for n in range(size)]
    for member in members:
        member.start()
    failures = []
    for member in members:
        member.join(DEADLINE_S)
        if member.exitcode != 0:
            failures.append(f"exit code {member.exitcode}")
            member.kill()
            member.join()
    while not errors.empty():
        failures.append(errors.get())
    return failures


def _member(
    work: Callable[[int], None], number: int, barrier: Barrier, errors: multiprocessing.SimpleQueue[str]
) -> None:
    try:
        barrier.wait(DEADLINE_S)
        work(number)
    except BaseException:
        errors.put(traceback.format_exc())
        os._exit(1)
    os._exit(0)


def opened(place: Place, *, create: bool = False) -> Store:
    return open_store(place, create=create, environ={})


@pytest.mark.parametrize("is_there", [False, True], ids=["no file", "empty file"])
def test_first_add_by_a_crowd_makes_one_database_and_all_jobs(place: Place, is_there: bool) -> None:
    if is_there:
        place.database.touch(0o600)

    def first_add(number: int) -> None:
        store = opened(place, create=True)
        store.add_job(NewJob(f"job-{number}", definition(), NOW), now=NOW)
        store.close()

    assert crowd(first_add) == []
    store = opened(place)
    assert len(store.overviews()) == CROWD
    store.close()
    assert [path.name for path in place.database.parent.iterdir()] == ["cronq.db"]


def writer(place: Place, number: int, steps: int) -> None:
    """Do what people do: add, trigger and cancel, with a fresh connection now and then."""
    rng = random.Random(number)
    store = opened(place)
    for step in range(steps):
        if step % 10 == 9:
            store.close()
            store = opened(place)
        name = f"job-{number}-{step}"
        store.add_job(NewJob(name, definition(), NOW), now=NOW)
        (run,) = store.trigger([name], now=NOW)
        if rng.random() < 0.5:
            store.cancel(run.id, reason="by hand", now=NOW)
    store.close()


def check_written(place: Place, steps: int) -> None:
    store = opened(place)
    assert len(store.overviews()) == CROWD * steps
    cancelled = store.runs(RunQuery(outcomes=(Outcome.CANCELLED,), limit=CROWD * steps))
    assert len(cancelled) + store.totals().queued == CROWD * steps
    store.check()
    store.close()


def test_writers_in_a_crowd_are_never_told_that_it_is_locked(place: Place) -> None:
    opened(place, create=True).close()
    assert crowd(lambda number: writer(place, number, 40)) == []
    check_written(place, 40)


@pytest.mark.slow
def test_writers_in_a_crowd_are_never_told_that_it_is_locked_at_length(place: Place) -> None:
    opened(place, create=True).close()
    assert crowd(lambda number: writer(place, number, 400)) == []
    check_written(place, 400)


def test_openers_in_a_crowd_are_never_told_that_it_is_locked(place: Place) -> None:
    # The last connection to close empties the write-ahead log; another one may be opening just then.
    opened(place, create=True).close()

    def come_and_go(number: int) -> None:
        for step in range(25):
            store = opened(place)
            store.set_fact(f"{number}", f"{step}")
            assert store.fact(f"{number}") == f"{step}"
            store.close()

    assert crowd(come_and_go) == []


# Files


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_creation_makes_private_files_in_a_private_folder(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "share" / "cronq"
    before = os.umask(umask)
    try:
        store = opened(Place(folder / "cronq.db", folder / "logs", "test"), create=True)
        add(store)
    finally:
        os.umask(before)
    assert mode_of(folder) == 0o700
    names = {path.name for path in folder.iterdir()}
    assert names == {"cronq.db", "cronq.db-wal", "cronq.db-shm"}
    assert {mode_of(path) for path in folder.iterdir()} == {0o600}
    store.close()
    assert [path.name for path in folder.iterdir()] == ["cronq.db"]


def test_creation_leaves_an_existing_database_alone(place: Place) -> None:
    store = opened(place, create=True)
    job = add(store)
    again = opened(place, create=True)
    assert again.job("job") == job
    again.close()
    store.close()


def test_creation_in_the_place_of_a_file_fails_and_leaves_nothing(tmp_path: Path) -> None:
    blocking = tmp_path / "file"
    blocking.touch()
    with pytest.raises(StoreFull):
        opened(Place(blocking / "cronq" / "cronq.db", tmp_path / "logs", "test"), create=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["a b.db", "100%.db", "what?.db", "a#b.db", "über.db", "%3f.db", "a'b.db"])
def test_creation_under_an_unusual_name(tmp_path: Path, name: str) -> None:
    place = Place(tmp_path / name, tmp_path / "logs", "test")
    store = opened(place, create=True)
    add(store)
    store.verify()
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    reopened = open_store(place, read_only=True, environ={})
    assert reopened.job("job").name == "job"
    reopened.close()


def test_connection_is_as_durable_as_promised(place: Place) -> None:
    store = open_store(place, create=True, environ={})
    values = {
        name: store._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
    }
    assert values == {"journal_mode": "wal", "synchronous": 2}
    assert store._db.execute("PRAGMA foreign_keys").fetchone() == (1,)
    assert store._db.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
    store.close()
    scheduler = open_store(place, for_scheduler=True, environ={})
    assert scheduler._db.execute("PRAGMA wal_autocheckpoint").fetchone() == (1000,)
    scheduler.close()


def test_checkpoint_moves_the_log_into_the_database(place: Place) -> None:
    store = opened(place, create=True)
    add(store)
    store.checkpoint()
    copy = place.database.with_name("copy.db")
    copy.write_bytes(place.database.read_bytes())  # without its log
    store.close()
    connection = sqlite3.connect(copy)
    assert connection.execute("SELECT name FROM job").fetchall() == [("job",)]
    connection.close()
