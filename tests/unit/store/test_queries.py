"""Every statement can be prepared, and none of them walks a whole table that grows."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

import pytest

from cronq.model import Outcome, State
from cronq.store import (
    Place,
    RunQuery,
    queries,
    queries_history,
    queries_portable,
    queries_retention,
    queries_tick,
)
from cronq.store.connection import connect
from cronq.store.sqlite import open_store
from tests.unit.store.builders import NOW, add

STATEMENTS = {
    name: text
    for module in (queries, queries_retention, queries_history, queries_tick, queries_portable)
    for name, text in vars(module).items()
    if isinstance(text, str) and not name.startswith("_") and not name.endswith(("_COLUMNS", "_FROM"))
}

QUEUED = {"SCAN run USING INDEX run_available", "SCAN run USING INDEX run_waiting"}
RUNNING = {"SCAN run USING INDEX run_running", "SCAN r USING INDEX run_running"}
ALL_JOBS = {"SCAN job USING INDEX job_name", "SCAN j USING INDEX job_name"}

GIVEN = {"SCAN json_each VIRTUAL TABLE INDEX 1:"}

WALKS: dict[str, set[str]] = {
    # All jobs are what is asked for.
    "JOB_LIST": ALL_JOBS,
    "JOB_NAMES": ALL_JOBS,
    "PAST_IDS": {"SCAN job"},
    "PAST_SUCCESS": {"SCAN newest"},  # ten rows
    "PAST_MISJUDGED": {"SCAN json_each VIRTUAL TABLE INDEX 1:"},  # lists that are given
    "CALENDAR_LIST": {"SCAN calendar"},  # a handful of rows
    "LOCK_LIST": {"SCAN lock"},
    "LOCK_JOBS": {"SCAN job USING INDEX job_locks"},
    "HOLD_LIST": {"SCAN h"},
    "RUN_IN_LINE": {"SCAN r USING INDEX run_queue"},
    "HOLD_OUTSIDE": {"SCAN hold USING INDEX hold_outside", "SCAN hold", "SCAN run USING INDEX run_waiting"},
    "TOTALS": ALL_JOBS | QUEUED | RUNNING,
    # Partial indexes that hold nothing but what is asked for.
    "JOB_KEPT_COUNT": {"SCAN job USING INDEX job_keep"},
    "JOB_STARTUP": {"SCAN job USING INDEX job_startup"},
    "SLOTS_FREE": RUNNING | {"SCAN scheduler"},  # backwards, to the first row
    "RUN_ANY_WORK": RUNNING | {"SCAN r USING INDEX run_available", "SCAN r USING INDEX run_waiting"},
    # The few jobs that are known to be full come as one JSON list.
    "RUN_CLAIMABLE": {"SCAN r USING INDEX run_queue", "SCAN json_each VIRTUAL TABLE INDEX 1:"},
    "RUN_HELD": RUNNING,
    # Jobs that a tick is not about, and runs that were open when it began, come as JSON lists.
    "TICK_WORK": RUNNING | GIVEN,
    "TICK_NEXT": GIVEN,
    "TICK_QUEUED": GIVEN,
    "TICK_ROWS": GIVEN,
    "TICK_OPEN": QUEUED | RUNNING,
    "TICK_JOBS": ALL_JOBS,
    "TICK_STAMP": {*ALL_JOBS, "SCAN job", "SCAN lock", "SCAN calendar"},
    "PORTABLE_JOBS": ALL_JOBS,
    "PORTABLE_RUNS": {"SCAN sqlite_sequence"},  # a row for each table
    "RUN_STOPS": RUNNING | {"SCAN run USING INDEX run_stop"},
}
"""Walks that are meant; of those SQLite chooses."""

SORTS = {"RUN_HELD", "PAST_IDS", "TICK_ROWS", "PORTABLE_OPEN"}
"""Sorted, because there are never more than a scheduler has slots, people have jobs, or a tick has cases."""


class Anything(dict[str, object]):
    """Parameters of every name."""

    def __missing__(self, name: str) -> object:
        return 1


@pytest.fixture
def db(place: Place) -> Iterator[sqlite3.Connection]:
    connection = connect(place, create=True, read_only=False, environ={})
    yield connection
    connection.close()


def plan_of(db: sqlite3.Connection, statement: str) -> list[str]:
    named = re.search(r":[a-z_]+", statement)
    values: object = Anything() if named else (1,) * statement.count("?")
    return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", values)]  # type: ignore[arg-type]


def walks(plan: list[str]) -> set[str]:
    lines = (line.replace("COVERING INDEX", "INDEX") for line in plan if line != "SCAN CONSTANT ROW")
    return {line for line in lines if line.startswith("SCAN ")}


def test_statements_are_all_found() -> None:
    assert len(STATEMENTS) > 35
    assert set(WALKS) <= set(STATEMENTS)


@pytest.mark.parametrize("name", STATEMENTS)
def test_statement_is_one_and_can_be_prepared(db: sqlite3.Connection, name: str) -> None:
    plan_of(db, STATEMENTS[name])
    assert ";" not in STATEMENTS[name]


@pytest.mark.parametrize("name", STATEMENTS)
def test_statement_walks_no_table(db: sqlite3.Connection, name: str) -> None:
    assert walks(plan_of(db, STATEMENTS[name])) <= WALKS.get(name, set())


@pytest.mark.parametrize("name", sorted(set(STATEMENTS) - SORTS))
def test_statement_sorts_nothing(db: sqlite3.Connection, name: str) -> None:
    assert not [line for line in plan_of(db, STATEMENTS[name]) if "TEMP B-TREE" in line]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        *[(name, "x USING INDEX run_waiting (job_id=?)") for name in ("JOB_BY_NAME", "JOB_DUE", "JOB_LIST")],
        *[(name, "x USING INDEX run_running (job_id=?)") for name in ("JOB_BY_NAME", "JOB_DUE", "JOB_LIST")],
        ("JOB_DUE", "j USING INDEX job_due"),
        ("JOB_NEXT_DUE", "job USING INDEX job_due"),
        ("JOB_UPCOMING", "job USING INDEX job_due"),
        ("RUN_CLAIMABLE", "x USING INDEX run_running (job_id=?)"),
        ("RUN_DROP_QUEUED", "run USING INDEX run_waiting (job_id=?)"),
        ("RUN_LAST_SUCCESS", "run USING INDEX run_success (job_id=?)"),
        ("RUN_NEXT_AVAILABLE", "run USING INDEX run_available (available_at>?)"),
        ("RUN_RECENT", "r USING INDEX run_executed (job_id=?)"),
        ("RUN_REPLACE_QUEUED", "run USING INDEX run_waiting (job_id=?"),
        ("RUN_REPLACE_RUNNING", "run USING INDEX run_running (job_id=?)"),
        ("RUN_LOGGED", "run USING INDEX run_executed (job_id=? AND id<?)"),
        ("RUN_RUNNING_SINCE", "run USING INDEX run_running (job_id=?)"),
    ],
)
def test_statement_does_not_walk_the_history_of_a_job(db: sqlite3.Connection, name: str, index: str) -> None:
    plan = [line.replace("COVERING INDEX", "INDEX") for line in plan_of(db, STATEMENTS[name])]
    assert any(f"SEARCH {index}" in line for line in plan), plan
    assert not [line for line in plan if "run_history" in line]


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("JOB_KEPT", ["job USING INDEX job_keep (id>?)"]),
        ("RUN_NTH", ["run USING INDEX run_history (job_id=? AND id<?)"]),
        ("RUN_OLDEST", ["run USING INDEX run_history (job_id=? AND id>?)"]),
        (
            "RUN_SPARED",
            [
                "run USING INDEX run_history (job_id=?)",
                "run USING INDEX run_executed (job_id=?)",
                "run USING INDEX run_success (job_id=?)",
                "run USING INDEX sqlite_autoindex_run_1 (job_id=? AND fire_at>?)",
                "run USING INDEX sqlite_autoindex_run_2 (job_id=? AND trigger_key>?)",
            ],
        ),
        (
            "RUN_REMOVE",
            [
                "run USING INTEGER PRIMARY KEY (rowid=?)",
                "hold USING INDEX hold_run (run_id=?)",
                "attempt USING PRIMARY KEY (run_id=?)",
            ],
        ),
        ("RUN_BETWEEN", ["run USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)", "run"]),
    ],
)
def test_retention_walks_only_what_it_asks_for(db: sqlite3.Connection, name: str, steps: list[str]) -> None:
    plan = [line.replace("COVERING INDEX", "INDEX") for line in plan_of(db, STATEMENTS[name])]
    assert [line.removeprefix("SEARCH ") for line in plan if line.startswith("SEARCH")] == steps


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (RunQuery(("a",), before_id=99), "SEARCH r USING INDEX run_history (job_id=? AND id<?)"),
        (RunQuery(("a",), State.DONE, (Outcome.SUCCESS,)), "SEARCH r USING INDEX run_"),
        (RunQuery(state=State.RUNNING), "SCAN r USING INDEX run_"),
        (RunQuery(state=State.QUEUED), "SCAN r USING INDEX run_"),
        (RunQuery(before_id=99), "SEARCH r USING INTEGER PRIMARY KEY (rowid<?)"),
    ],
)
def test_listing_uses_an_index(place: Place, query: RunQuery, expected: str) -> None:
    store = open_store(place, create=True, environ={})
    add(store, "a")
    said: list[str] = []
    store._db.set_trace_callback(said.append)
    store.trigger(["a"], now=NOW)
    store.runs(query)
    store._db.set_trace_callback(None)
    listing = next(text for text in said if "LEFT JOIN attempt" in text)
    plan = [row[3] for row in store._db.execute(f"EXPLAIN QUERY PLAN {listing}")]
    store.close()
    assert any(line.startswith(expected) for line in plan), plan
    assert not [line for line in plan if line in {"SCAN r", "SCAN a", "SCAN j"}]
