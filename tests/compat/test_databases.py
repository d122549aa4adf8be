"""A database of every released version opens, moves to the present format and is read in full.

`vN.N.N.db` was made by that version: nine jobs (one of them removed, one paused), a start-up, an outage over
a clock change, retries, all outcomes, one run left running and two left queued. It is never made again; what
it holds is what people have.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from cronq.model import CommandKind, Outcome, Overlap, State
from cronq.plan import Active
from cronq.schedule import parse
from cronq.store import Place, RunQuery, Store, open_store
from cronq.store.connection import SCHEMA_VERSION

FOLDER = Path(__file__).parent
RELEASED = sorted(FOLDER.glob("v*.db"))
LATER = 1_800_000_000_000_000


@pytest.fixture(params=RELEASED, ids=[path.stem for path in RELEASED])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    database = tmp_path / "cronq.db"
    shutil.copyfile(request.param, database)
    database.chmod(0o600)
    return Place(database, tmp_path / "logs", "test")


def opened(place: Place, *, read_only: bool = False) -> Store:
    return open_store(place, read_only=read_only, environ={})


def schema_of(path: Path) -> dict[str, str]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return dict(rows)


def test_fixtures_are_small_and_there() -> None:
    assert [path.stem for path in RELEASED][:1] == ["v0.1.0"]
    assert all(path.stat().st_size < 200_000 for path in RELEASED)


def test_database_moves_to_the_present_format(place: Place, tmp_path: Path) -> None:
    store = opened(place)
    store.check()
    store.close()
    connection = sqlite3.connect(place.database)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    fresh = Place(tmp_path / "fresh.db", tmp_path / "logs", "test")
    open_store(fresh, create=True, environ={}).close()
    assert schema_of(place.database) == schema_of(fresh.database)


def test_jobs_are_read_in_full(place: Place) -> None:
    store = opened(place)
    jobs = {overview.job.name: overview for overview in store.overviews()}
    assert list(jobs) == ["backfill-all", "boot", "held-back", "newsletter", "once", "report", "sync", "warm"]
    for overview in jobs.values():
        definition = overview.job.definition
        schedule = parse(definition.schedule, tz=definition.tz, name=overview.job.name, dst=definition.dst)
        assert schedule.text == definition.schedule
    report = jobs["report"].job
    assert report.definition.command.words == ("/usr/local/bin/report", "--yesterday")
    assert (report.definition.tz, report.definition.timeout_s) == ("Europe/Berlin", 600.0)
    sync = jobs["sync"].job.definition
    assert (sync.command.kind, sync.overlap, sync.max_queued) == (CommandKind.SHELL, Overlap.QUEUE, 3)
    assert sync.env == (("LANG", "C.UTF-8"), ("TOKEN_FILE", "/run/token"))
    assert jobs["newsletter"].job.definition.command.args == '{"list": "all"}'
    assert jobs["held-back"].job.paused_at is not None
    assert (jobs["warm"].job.revision, jobs["once"].job.next_fire_at) == (2, None)
    assert jobs["report"].active == Active(queued=1, running=1)
    store.close()


def test_runs_are_read_in_full(place: Place) -> None:
    store = opened(place)
    listed = store.runs(RunQuery(limit=1000))
    outcomes = Counter(run.outcome for run, _ in listed)
    wanted = set(Outcome) | {None}
    assert set(outcomes) == wanted
    for run, attempt in listed:
        detail = store.run(run.id)
        assert detail.run == run
        assert len(detail.attempts) == run.attempt
        assert attempt == (detail.attempts[-1] if detail.attempts else None)
        assert store.definition(run.job_id, run.revision).schedule
    assert store.fact("zones") == "2025b"
    store.close()


def test_work_goes_on_where_it_was_left(place: Place) -> None:
    store = opened(place)
    (held,) = store.held()
    assert held.attempt.pid == 5000
    queued = store.totals().queued
    claims = store.claim([f"w{n}" for n in range(9)], "boot-new", now=LATER)
    assert claims
    assert {claim.run.state for claim in claims} == {State.RUNNING}
    assert store.totals().queued == queued - len(claims)
    assert store.next_wake(LATER) is not None
    assert len(store.due_jobs(LATER, limit=99)) >= 5
    assert [run.job for run in store.launch_startup("boot-new", now=LATER)] == ["boot"]
    store.close()


def test_database_of_the_present_format_can_be_read_without_being_changed(place: Place) -> None:
    opened(place).close()
    before = place.database.read_bytes()
    store = opened(place, read_only=True)
    assert len(store.overviews()) == 8
    store.close()
    assert place.database.read_bytes() == before
