"""No statement walks a table that grows, as PostgreSQL plans it in a ledger of 100,000 jobs.

The plans are the generic ones, which are those of a statement that is executed again and again.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from cronq.store import queries
from cronq.store.postgres import store as postgres_store
from cronq.store.postgres.address import parse_address
from cronq.store.postgres.connection import Connection
from cronq.store.postgres.dialect import translated
from cronq.store.postgres.migrating import migrate
from tests.postgres.server import Server
from tests.unit.store.test_queries import STATEMENTS as FOR_BOTH

JOBS = 100_000
QUEUED = 20_000
_numbers = itertools.count(1)
GROWING = {"job", "definition", "run", "attempt", "calendar_text", "output"}

STATEMENTS = {
    name: translated(text)
    for name, text in FOR_BOTH.items()
    if not name.startswith(("TICK_", "PORTABLE_", "PLANT_")) and name != "RUN_CLAIMABLE"
} | {"_QUEUED": postgres_store._QUEUED}
"""Those of ticks and of portable states are a file's alone; RUN_CLAIMABLE is written anew."""

OPEN = {
    *("run_available", "run_waiting", "run_queue", "run_running", "run_in_hand", "run_stop"),
    *("job_startup", "job_keep", "job_locks"),
}
"""Partial indexes that hold nothing but what is asked for."""

WALKS: dict[str, set[str]] = {
    # The limit ends the walk after a few rows.
    "JOB_NEXT_DUE": {"job_due"},
    "JOB_UPCOMING": {"job_due"},
    "RUN_BETWEEN": {"run_pkey"},  # backwards, to the first row
    # All jobs are what is asked for.
    "JOB_LIST": {"job_name"},
    "JOB_NAMES": {"job"},
    "PAST_IDS": {"job"},
    "TOTALS": {"job"},
    "RUN_IN_LINE": {"job"},  # the whole queue; only people ask
}
"""Walks that are meant."""

FILL = f"""
INSERT INTO job (name, revision, next_fire_at, created_at, changed_at, removed_at, keep, locks, at_startup)
SELECT 'job' || n, 1, CASE WHEN n % 100 > 0 THEN 1800000000000000 + n * 1000 END, 0, 0,
    CASE WHEN n % 100 = 0 THEN 1 END,
    CASE WHEN n % 1000 = 0 THEN '{{}}' END, CASE WHEN n % 2000 = 1 THEN 'db' END, n % 2000 = 1
FROM generate_series(1, {JOBS}) n;
INSERT INTO definition (job_id, revision, since, document) SELECT id, 1, 0, '{{}}' FROM job;
INSERT INTO run (job_id, revision, trigger, logical_at, fire_at, last_fire_at, state, outcome, queued_at,
    available_at, attempt, worker, started_at, finished_at)
SELECT j.id, 1, 'schedule', n, n, n, 'done', 'success', n, n, 1, NULL, n, n
FROM job j, generate_series(1, 2) n;
INSERT INTO run (job_id, revision, trigger, logical_at, state, queued_at, available_at, attempt, worker)
SELECT n, 1, 'manual', n, CASE WHEN n % 500 = 0 THEN 'running' ELSE 'queued' END, n, n,
    CASE WHEN n % 500 = 0 THEN 1 ELSE 0 END, CASE WHEN n % 500 = 0 THEN 'w' END
FROM generate_series(1, {QUEUED}) n;
INSERT INTO attempt (run_id, attempt, worker, boot_id, claimed_at, started_at, finished_at, outcome,
    exit_code)
SELECT id, 1, 'w', 'b', queued_at, started_at, finished_at, outcome, CASE WHEN outcome = 'success' THEN 0 END
FROM run WHERE attempt = 1;
INSERT INTO calendar_text (name, since, text) SELECT 'c' || n % 10, n, '' FROM generate_series(1, 10000) n;
"""


@pytest.fixture(scope="module")
def filled(postgres: Server) -> Iterator[Connection]:
    db = Connection(parse_address(f"{postgres.url}&schema=plans", "test"))
    migrate(db)
    db.plain(FILL)
    db.plain("ANALYZE")
    db.plain("SET plan_cache_mode = force_generic_plan")
    yield db
    db.close()
    postgres.drop_schema("plans")


def plan_of(db: Connection, text: str) -> list[dict[str, Any]]:
    """Return the steps of the generic plan of a statement of psycopg's."""
    names: list[str] = []

    def number(mark: re.Match[str]) -> str:
        name = mark[1] or f"#{len(names)}"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    text = re.sub(r"%(?:\((\w+)\))?s", number, text).replace("%%", "%")
    asked = f"asked{next(_numbers)}"
    db.plain(f"PREPARE {asked} AS {text}")
    given = f"({', '.join(['NULL'] * len(names))})" if names else ""
    row = db.plain(f"EXPLAIN (FORMAT JSON) EXECUTE {asked}{given}").fetchone()
    assert row is not None
    found = row[0] if isinstance(row[0], list) else json.loads(row[0])
    return [step for one in found if "Plan" in one for step in _steps(one["Plan"])]


def _steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _steps(part)


def walks(plan: list[dict[str, Any]]) -> set[str]:
    """Return which tables that grow are read from end to end, and which indexes are without a condition."""
    found = set()
    for step in plan:
        if step["Node Type"] == "Seq Scan" and step["Relation Name"] in GROWING:
            found.add(step["Relation Name"])
        elif "Index Name" in step and "Index Cond" not in step and step["Index Name"] not in OPEN:
            found.add(step["Index Name"])
    return found


@pytest.mark.parametrize("name", STATEMENTS)
def test_statement_walks_no_table(filled: Connection, name: str) -> None:
    plan = plan_of(filled, STATEMENTS[name])
    assert walks(plan) <= WALKS.get(name, set())


def test_exceptions_are_of_statements() -> None:
    assert len(STATEMENTS) > 85
    assert set(WALKS) <= set(STATEMENTS)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("JOB_DUE", "job_due"),
        ("JOB_BY_NAME", "job_name"),
        ("_QUEUED", "run_queue"),
        ("_QUEUED", "run_running"),
        ("RUN_NEXT_AVAILABLE", "run_available"),
        ("RUN_LAST_SUCCESS", "run_success"),
        ("RUN_RECENT", "run_executed"),
        ("RUN_STOPS", "run_stop"),
        ("RUN_REPLACE_QUEUED", "run_waiting"),
        ("RUN_NTH", "run_history"),
    ],
)
def test_statement_uses_the_index_that_was_made_for_it(filled: Connection, name: str, index: str) -> None:
    assert index in {step.get("Index Name") for step in plan_of(filled, STATEMENTS[name])}


def test_the_queue_is_not_sorted(filled: Connection) -> None:
    assert "Sort" not in {step["Node Type"] for step in plan_of(filled, STATEMENTS["_QUEUED"])}


def test_listing_ends_after_its_limit(filled: Connection) -> None:
    listing = (
        f"SELECT {queries.RUN_COLUMNS}, {queries.ATTEMPT_COLUMNS} {queries.RUN_FROM}"
        " LEFT JOIN attempt a ON a.run_id = r.id AND a.attempt = r.attempt"
        " WHERE TRUE AND r.state = 'done' ORDER BY r.id DESC LIMIT 20"
    )
    assert walks(plan_of(filled, listing)) == {"run_pkey"}
