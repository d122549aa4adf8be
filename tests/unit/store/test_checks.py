"""Impossible rows are refused by the database itself, whatever the code above it does."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from cronq.model import TRANSITIONS, UNSTARTED, Outcome, State, Trigger
from cronq.store import Place
from cronq.store.connection import connect

JOB: dict[str, Any] = {"id": 2, "name": "other", "revision": 1, "created_at": 0, "changed_at": 0}
DEFINITION: dict[str, Any] = {"job_id": 1, "revision": 2, "since": 0, "document": "{}"}
QUEUED: dict[str, Any] = {
    "job_id": 1,
    "revision": 1,
    "trigger": "manual",
    "logical_at": 0,
    "state": "queued",
    "queued_at": 0,
    "available_at": 0,
}
SCHEDULED = {**QUEUED, "trigger": "schedule", "fire_at": 100, "last_fire_at": 100}
RUNNING = {**QUEUED, "state": "running", "worker": "w", "attempt": 1}
DONE = {**QUEUED, "state": "done", "outcome": "success", "finished_at": 1, "attempt": 1}
MISSED = {**SCHEDULED, "state": "done", "outcome": "missed", "finished_at": 1, "attempt": 0}
ATTEMPT: dict[str, Any] = {"run_id": 1, "attempt": 1, "worker": "w", "boot_id": "b", "claimed_at": 0}
ENDED = {**ATTEMPT, "outcome": "success", "started_at": 0, "finished_at": 1}


@pytest.fixture
def db(place: Place) -> Iterator[sqlite3.Connection]:
    connection = connect(place, create=True, read_only=False, environ={})
    insert(connection, "job", {**JOB, "id": 1, "name": "job"})
    insert(connection, "definition", {**DEFINITION, "revision": 1})
    insert(connection, "run", {**QUEUED, "id": 1})
    yield connection
    connection.close()


def insert(db: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    places = ", ".join("?" * len(row))
    db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", tuple(row.values()))


POSSIBLE = [
    ("job", JOB),
    ("job", {**JOB, "max_running": 1, "next_fire_at": 5, "paused_at": 3, "at_startup": 1}),
    ("job", {**JOB, "removed_at": 3, "name": "job"}),
    ("definition", DEFINITION),
    ("run", QUEUED),
    ("run", SCHEDULED),
    ("run", {**SCHEDULED, "attempt": 2, "failures": 2, "trigger": "catch_up"}),
    ("run", RUNNING),
    ("run", {**RUNNING, "stop_reason": "by hand"}),
    ("run", DONE),
    *[("run", {**DONE, "outcome": outcome}) for outcome in Outcome if outcome not in UNSTARTED],
    ("run", {**DONE, "outcome": "cancelled", "attempt": 0}),
    ("run", MISSED),
    ("run", {**MISSED, "outcome": "skipped", "last_fire_at": 300, "fire_count": 3}),
    ("attempt", ATTEMPT),
    ("attempt", ENDED),
    ("attempt", {**ENDED, "outcome": "failure", "started_at": None, "signal": 9}),
]


@pytest.mark.parametrize(("table", "row"), POSSIBLE)
def test_possible_row_is_taken(db: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    insert(db, table, row)


IMPOSSIBLE = [
    ("job", {**JOB, "name": ""}),
    ("job", {**JOB, "name": "x" * 64}),
    ("job", {**JOB, "name": "job"}),
    ("job", {**JOB, "name": None}),
    ("job", {**JOB, "revision": 0}),
    ("job", {**JOB, "max_running": 0}),
    ("job", {**JOB, "at_startup": 2}),
    ("job", {**JOB, "removed_at": 1, "next_fire_at": 1}),
    ("job", {**JOB, "created_at": "yesterday"}),
    ("definition", {**DEFINITION, "revision": 0}),
    ("definition", {**DEFINITION, "revision": 1}),
    ("definition", {**DEFINITION, "job_id": 9}),
    ("definition", {**DEFINITION, "document": "{"}),
    # Links
    ("run", {**QUEUED, "job_id": 9}),
    ("run", {**QUEUED, "revision": 9}),
    ("attempt", {**ATTEMPT, "run_id": 9}),
    # Words
    ("run", {**QUEUED, "trigger": "whim"}),
    ("run", {**QUEUED, "state": "waiting"}),
    ("run", {**DONE, "outcome": "fine"}),
    ("run", {**QUEUED, "logical_at": 1.5}),
    # A state and what belongs to it
    ("run", {**QUEUED, "outcome": "success"}),
    ("run", {**QUEUED, "finished_at": 1}),
    ("run", {**QUEUED, "worker": "w"}),
    ("run", {**RUNNING, "worker": None}),
    ("run", {**RUNNING, "attempt": 0}),
    ("run", {**RUNNING, "outcome": "failure", "finished_at": 1}),
    ("run", {**DONE, "outcome": None}),
    ("run", {**DONE, "finished_at": None}),
    ("run", {**DONE, "worker": "w"}),
    *[("run", {**DONE, "outcome": outcome, "attempt": 1}) for outcome in UNSTARTED],
    *[
        ("run", {**DONE, "outcome": outcome, "attempt": 0})
        for outcome in Outcome
        if outcome not in UNSTARTED | {Outcome.CANCELLED}
    ],
    # Counting
    ("run", {**QUEUED, "attempt": -1}),
    ("run", {**QUEUED, "failures": 1}),
    ("run", {**QUEUED, "attempt": 3, "failures": -1}),
    # Fire times
    ("run", {**QUEUED, "trigger": "schedule"}),
    ("run", {**QUEUED, "trigger": "catch_up"}),
    ("run", {**QUEUED, "last_fire_at": 1}),
    *[
        ("run", {**SCHEDULED, "trigger": trigger})
        for trigger in Trigger
        if trigger not in {Trigger.SCHEDULE, Trigger.CATCH_UP}
    ],
    ("run", {**SCHEDULED, "last_fire_at": None}),
    ("run", {**SCHEDULED, "last_fire_at": 99}),
    ("run", {**SCHEDULED, "last_fire_at": 300, "fire_count": 3}),
    ("run", {**MISSED, "last_fire_at": 300}),
    ("run", {**MISSED, "fire_count": 3}),
    ("run", {**MISSED, "fire_count": 0}),
    ("run", {**DONE, "fire_count": 2}),
    # Attempts
    ("attempt", {**ATTEMPT, "attempt": 0}),
    ("attempt", {**ATTEMPT, "outcome": "success"}),
    ("attempt", {**ATTEMPT, "finished_at": 1}),
    ("attempt", {**ATTEMPT, "pid": 0}),
    ("attempt", {**ENDED, "outcome": "skipped"}),
    ("attempt", {**ENDED, "outcome": "missed"}),
    ("attempt", {**ENDED, "started_at": None}),
    ("attempt", {**ENDED, "exit_code": 1, "signal": 9}),
    ("attempt", {**ENDED, "signal": 0}),
    *[("attempt", {**ENDED, name: -1}) for name in ("duration_s", "user_s", "system_s", "max_rss")],
]


@pytest.mark.parametrize(("table", "row"), IMPOSSIBLE)
def test_impossible_row_is_refused(db: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        insert(db, table, row)


@pytest.mark.parametrize(
    "unique", [{"fire_at": 100, "last_fire_at": 100, "trigger": "schedule"}, {"trigger_key": "boot:1"}]
)
def test_second_run_for_the_same_occasion_is_refused(db: sqlite3.Connection, unique: dict[str, Any]) -> None:
    insert(db, "run", {**QUEUED, **unique})
    with pytest.raises(sqlite3.IntegrityError):
        insert(db, "run", {**QUEUED, **unique})
    insert(db, "job", JOB)
    insert(db, "definition", {**DEFINITION, "job_id": 2, "revision": 1})
    insert(db, "run", {**QUEUED, **unique, "job_id": 2})


def test_second_row_for_the_same_attempt_is_refused(db: sqlite3.Connection) -> None:
    insert(db, "attempt", ATTEMPT)
    with pytest.raises(sqlite3.IntegrityError):
        insert(db, "attempt", ATTEMPT)


def test_run_numbers_are_never_used_again(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM run")
    insert(db, "run", QUEUED)
    assert db.execute("SELECT id FROM run").fetchall() == [(2,)]


def test_words_of_the_model_are_those_of_the_database(db: sqlite3.Connection) -> None:
    ((text,),) = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'run'")
    for word in (*State, *Outcome, *Trigger):
        assert f"'{word}'" in text


def test_transitions_end_at_done() -> None:
    assert set(TRANSITIONS) == set(State)
    assert not TRANSITIONS[State.DONE]
    assert all(State.DONE in after for state, after in TRANSITIONS.items() if state is not State.DONE)
