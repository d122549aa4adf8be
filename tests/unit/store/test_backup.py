"""Copies of the ledger: whole, private, checked, or not there at all; and the way back."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq.errors import (
    CronqError,
    FileTaken,
    StoreBusy,
    StoreCorrupt,
    StoreFull,
    StoreMissing,
    StoreTooNew,
    StoreUntrusted,
    UsageError,
)
from cronq.store import Place, Store
from cronq.store.backup import inspect_copy, put_back
from cronq.store.sqlite import open_store
from cronq.store.swapping import draft_for, stray_drafts
from tests.unit.store.builders import NOW, add, done_run, pause


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    """A store in a file: servers have copies of their own kind."""
    store = open_store(place, create=True, environ={})
    yield store
    store.close()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "copies" / "copy.db"


@pytest.fixture(autouse=True)
def _folder(target: Path) -> None:
    target.parent.mkdir(mode=0o700)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def opened(path: Path) -> Store:
    return open_store(Place(path, path.parent / "logs", "test"), read_only=True, environ={})


def test_backup_is_the_ledger_in_one_private_file(store: Store, target: Path) -> None:
    add(store, "a")
    run = done_run(store, "a")
    copy = store.backup(target, now=NOW)
    assert (copy.jobs, copy.runs, copy.copied_at, copy.last_run) == (1, 1, NOW, run.id)
    assert copy.size == target.stat().st_size
    assert names(target.parent) == ["copy.db"]
    assert target.stat().st_mode & 0o777 == 0o600
    # Rollback journal mode: nothing beside the file belongs to it (sqlite.org/fileformat.html, offset 18).
    assert target.read_bytes()[18:20] == b"\x01\x01"
    copied = opened(target)
    assert copied.job("a") == store.job("a")
    assert copied.run(run.id) == store.run(run.id)
    copied.close()
    assert inspect_copy(target) == copy


def test_backup_holds_up_no_writer_and_is_of_one_instant(store: Store, target: Path, place: Place) -> None:
    """Two jobs are always added together; a copy that was torn would have an odd number of them."""
    other = open_store(place, environ={})
    copied = 0
    for number in range(40):
        add(store, f"x{number}", cwd="/" + "x" * 5000)
        add(store, f"y{number}", cwd="/" + "x" * 5000)
        copied = other.backup(target, now=NOW, replace=True).jobs
        assert copied == 2 * (number + 1)
    other.close()


def test_backup_reads_one_snapshot_however_often_others_commit(
    store: Store, target: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cronq.store import backup

    for number in range(20):
        add(store, f"x{number}", cwd="/" + "x" * 9000)
    monkeypatch.setattr(backup, "STEP_PAGES", 1)
    other = open_store(place, environ={})
    steps = 0

    class Chatty(sqlite3.Connection):
        """Commits through the other connection after each step."""

        def backup(self, target, *, pages, progress):  # type: ignore[no-untyped-def,override] # noqa: ANN001, ANN202
            def interrupted(*_: int) -> None:
                nonlocal steps
                steps += 1
                other.set_fact("n", str(steps))

            super().backup(target, pages=pages, progress=interrupted)

    source = sqlite3.connect(place.database, isolation_level=None, factory=Chatty)
    copy = backup.copy_database(source, target, now=NOW)
    source.close()
    assert copy.jobs == 20
    assert steps > 20
    copied = opened(target)
    assert copied.fact("n") is None, "the copy holds what was committed after it began"
    copied.close()
    other.close()


def test_backup_of_a_ledger_that_can_only_be_read(store: Store, target: Path, place: Place) -> None:
    add(store, "a")
    reader = open_store(place, read_only=True, environ={})
    assert reader.backup(target, now=NOW).jobs == 1
    reader.close()


def test_backup_refuses_a_name_that_is_taken_unless_told(store: Store, target: Path) -> None:
    target.write_text("precious")
    with pytest.raises(FileTaken, match="exists already") as caught:
        store.backup(target, now=NOW)
    assert "--force" in caught.value.hint
    assert target.read_text() == "precious"
    assert names(target.parent) == ["copy.db"]
    assert store.backup(target, now=NOW, replace=True).jobs == 0
    assert names(target.parent) == ["copy.db"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", UsageError),
        ("nowhere/copy.db", UsageError),
        ("file/copy.db", UsageError),
        ("fifo", UsageError),
        ("x" * 250, StoreFull),
        ("x" * 300, UsageError),
    ],
)
def test_backup_refuses_what_cannot_be_a_copy(
    store: Store, target: Path, name: str, error: type[CronqError]
) -> None:
    (target.parent / "file").write_text("")
    os.mkfifo(target.parent / "fifo")
    with pytest.raises(error):
        store.backup(target.parent / name, now=NOW, replace=True)
    assert names(target.parent) == ["fifo", "file"]


@pytest.mark.parametrize("name", ["cronq.db", "cronq.db-wal", "cronq.db-shm", "link", "hard"])
def test_backup_never_replaces_the_database_itself(store: Store, place: Place, name: str) -> None:
    (place.database.parent / "link").symlink_to(place.database)
    os.link(place.database, place.database.parent / "hard")
    add(store, "a")
    with pytest.raises(UsageError, match="is the database itself"):
        store.backup(place.database.parent / name, now=NOW, replace=True)
    store.verify()


def test_backup_into_a_folder_without_the_right_to_write(store: Store, target: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    target.parent.chmod(0o500)
    with pytest.raises(StoreFull, match="cannot be written"):
        store.backup(target, now=NOW)
    target.parent.chmod(0o700)
    assert names(target.parent) == []


def damage_a_leaf(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 4096 // 2 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(content)


def test_backup_of_a_damaged_ledger_replaces_no_older_copy(store: Store, target: Path, place: Place) -> None:
    for number in range(300):
        add(store, f"job{number}")
    store.backup(target, now=NOW)
    sound = target.read_bytes()
    store.close()
    damage_a_leaf(place.database)
    damaged = open_store(place, environ={})
    with pytest.raises(StoreCorrupt, match="the database is damaged"):
        damaged.backup(target, now=NOW, replace=True)
    damaged.close()
    assert target.read_bytes() == sound
    assert names(target.parent) == ["copy.db"]


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda path: path.unlink(), StoreMissing),
        (lambda path: path.write_bytes(b""), StoreCorrupt),
        (lambda path: path.write_bytes(b"garbage" * 1000), StoreCorrupt),
        (lambda path: path.write_bytes(path.read_bytes()[:8192]), StoreCorrupt),
        (damage_a_leaf, StoreCorrupt),
        (lambda path: set_pragma(path, "application_id = 1"), StoreCorrupt),
        (lambda path: set_pragma(path, "user_version = 99"), StoreTooNew),
        (lambda path: path.chmod(0o666), StoreUntrusted),
        (lambda path: (path.unlink(), path.mkdir()), UsageError),
    ],
)
def test_a_copy_that_is_none_is_refused(
    store: Store, target: Path, spoil: object, error: type[CronqError]
) -> None:
    for number in range(300):
        add(store, f"job{number}")
    store.backup(target, now=NOW)
    spoil(target)  # type: ignore[operator]
    with pytest.raises(error):
        inspect_copy(target)


def set_pragma(path: Path, text: str) -> None:
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA {text}")
    db.close()


def test_put_back_replaces_the_database_and_what_sqlite_keeps_beside_it(
    store: Store, target: Path, place: Place
) -> None:
    job = add(store, "a")
    store.backup(target, now=NOW)
    pause(store, "a")
    add(store, "later")
    # As after a kill: the log is full, and nobody will empty it.
    os.link(f"{place.database}-wal", f"{place.database}-kept")
    store.close()
    Path(f"{place.database}-kept").replace(f"{place.database}-wal")
    before = target.read_bytes()
    replaced = put_back(target, place, above_run=41, suffix=".replaced-then")
    assert replaced is not None
    assert replaced.name == "cronq.db.replaced-then"
    assert target.read_bytes() == before
    back = open_store(place, environ={})
    assert back.job("a") == job
    assert [one.job.name for one in back.overviews()] == ["a"]
    assert back._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert back.trigger(["a"], now=NOW)[0].id == 42, "a run number was given twice"
    back.check(thoroughly=True)
    back.close()
    aside = opened(replaced)
    assert [one.job.name for one in aside.overviews()] == ["a", "later"]
    aside.close()


def test_put_back_where_files_have_no_second_names(
    store: Store, target: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no hard links")

    add(store, "a")
    store.backup(target, now=NOW)
    add(store, "later")
    store.close()
    monkeypatch.setattr("cronq.store.swapping.os.link", link)
    replaced = put_back(target, place, above_run=0, suffix=".replaced-then")
    assert replaced is not None
    assert [one.job.name for one in opened(replaced).overviews()] == ["a", "later"]
    assert [one.job.name for one in opened(place.database).overviews()] == ["a"]


def test_a_draft_of_somebody_killed_goes_with_the_next_one_and_others_stay(target: Path) -> None:
    left = target.with_name(".copy.db.123.0123abcd")
    others = [target.with_name(name) for name in (".copy.db.123.x", ".other.db.123.0123abcd", ".copy.db.1.2")]
    for path in (left, left.with_name(f"{left.name}-journal"), *others):
        path.touch()
    with draft_for(target) as draft:
        assert stray_drafts(target) == []
        with draft_for(target) as second:
            assert draft.exists()
            assert second.exists()
        assert names(target.parent) == sorted([draft.name, *(path.name for path in others)])


def test_put_back_gives_on_where_the_copy_stopped(store: Store, target: Path, place: Place) -> None:
    add(store, "a")
    run = done_run(store, "a")
    store.backup(target, now=NOW)
    store.close()
    put_back(target, place, above_run=0, suffix=".replaced-then")
    back = open_store(place, environ={})
    assert back.trigger(["a"], now=NOW)[0].id == run.id + 1
    back.close()


def test_put_back_where_nothing_is_left_but_a_log(store: Store, target: Path, place: Place) -> None:
    """The log of a database that is gone must not be played into the one that takes its place."""
    add(store, "a")
    store.backup(target, now=NOW)
    for number in range(50):
        add(store, f"later{number}")
    place.database.unlink()
    assert put_back(target, place, above_run=0, suffix=".replaced-then") is None
    back = open_store(place, environ={})
    assert [one.job.name for one in back.overviews()] == ["a"]
    back.check(thoroughly=True)
    back.close()
    store.close()


def test_creation_beside_the_log_of_a_database_that_is_gone_begins_afresh(store: Store, place: Place) -> None:
    for number in range(50):
        add(store, f"old{number}")
    os.link(f"{place.database}-wal", f"{place.database}-kept")
    store.close()
    place.database.unlink()
    Path(f"{place.database}-kept").replace(f"{place.database}-wal")
    fresh = open_store(place, create=True, environ={})
    assert fresh.overviews() == []
    add(fresh, "new")
    fresh.check(thoroughly=True)
    fresh.close()


def test_a_copy_put_in_place_by_hand_serves_a_scheduler(store: Store, target: Path) -> None:
    add(store, "a")
    store.backup(target, now=NOW)
    place = Place(target, target.parent / "logs", "test")
    reader = sqlite3.connect(target, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM job").fetchall()
    with pytest.raises(StoreBusy):
        open_store(place, for_scheduler=True, environ={})
    reader.close()
    served = open_store(place, for_scheduler=True, environ={})
    assert served._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert served.job("a") == store.job("a")
    served.close()
