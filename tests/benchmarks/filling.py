"""Stores with as many jobs and runs as a measure needs, written in bulk and not through `add`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cronq.model import SECOND, Command, CommandKind, Definition, Micros, Overlap
from cronq.store import Place
from cronq.store.documents import document_from_definition
from cronq.store.sqlite import SqliteStore, open_store

HOUR: Micros = 3_600 * SECOND
BATCH = 50_000


class Planned(NamedTuple):
    """A job to be written."""

    definition: Definition
    next_fire_at: Micros | None = None


def now_us() -> Micros:
    return time.time_ns() // 1000


def instant(at: Micros) -> str:
    """Return the schedule of a single instant."""
    return f"at {time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at // SECOND))}.{at % SECOND:06d}Z"


def argv(*words: str, schedule: str = "every 1h", **fields: object) -> Definition:
    """Return a definition of a command whose runs never hold up one another."""
    command = Command(CommandKind.ARGV, words)
    defaults: dict[str, object] = {"overlap": Overlap.ALLOW, "max_running": None}
    return Definition(command, schedule)._replace(**{**defaults, **fields})  # type: ignore[arg-type]


def place_in(folder: Path) -> Place:
    return Place(folder / "cronq.db", folder / "cronq.db.logs", "benchmark")


def fill(place: Place, jobs: Iterable[Planned], *, prefix: str = "job") -> None:
    """Write jobs, named by their number."""
    store = opened(place)
    try:
        database, now = store._db, now_us()
        database.execute("BEGIN IMMEDIATE")
        (first,) = database.execute("SELECT coalesce(max(id), 0) + 1 FROM job").fetchone()
        for number, planned in enumerate(jobs, first):
            definition = planned.definition
            database.execute(
                "INSERT INTO job (id, name, revision, next_fire_at, max_running, created_at, changed_at)"
                " VALUES (?, ?, 1, ?, ?, ?, ?)",
                (number, f"{prefix}-{number}", planned.next_fire_at, definition.max_running, now, now),
            )
            database.execute(
                "INSERT INTO definition (job_id, revision, since, document) VALUES (?, 1, ?, ?)",
                (number, now, document_from_definition(definition)),
            )
        database.execute("COMMIT")
    finally:
        store.close()


def fill_idle(place: Place, count: int, *, hours: int = 1) -> None:
    """Write jobs that fall due after so many hours, all alike; a million takes some ten seconds."""
    store = opened(place)
    try:
        database, now = store._db, now_us()
        document = document_from_definition(argv("/bin/true"))
        (first,) = database.execute("SELECT coalesce(max(id), 0) + 1 FROM job").fetchone()
        due = (now // HOUR + 1 + hours) * HOUR
        for begin in range(first, first + count, BATCH):
            numbers = range(begin, min(begin + BATCH, first + count))
            database.execute("BEGIN IMMEDIATE")
            database.executemany(
                "INSERT INTO job (id, name, revision, next_fire_at, created_at, changed_at)"
                " VALUES (?, ?, 1, ?, ?, ?)",
                ((number, f"idle-{number:07d}", due, now, now) for number in numbers),
            )
            database.executemany(
                "INSERT INTO definition (job_id, revision, since, document) VALUES (?, 1, ?, ?)",
                ((number, now, document) for number in numbers),
            )
            database.execute("COMMIT")
            store.checkpoint()
    finally:
        store.close()


def fill_queue(place: Place, count: int) -> None:
    """Queue runs of the first job, as `trigger` does."""
    store = opened(place)
    try:
        now = now_us()
        database = store._db
        database.execute("BEGIN IMMEDIATE")
        database.executemany(
            "INSERT INTO run (job_id, revision, trigger, logical_at, state, queued_at, available_at)"
            " VALUES (1, 1, 'manual', ?, 'queued', ?, ?)",
            ((now + number, now, now) for number in range(count)),
        )
        database.execute("COMMIT")
        store.checkpoint()
    finally:
        store.close()


def fill_history(place: Place, count: int, jobs: int) -> None:
    """Write runs that succeeded, a second apart and back from now, with their attempts."""
    store = opened(place)
    try:
        now = now_us()
        database = store._db
        for begin in range(0, count, BATCH):
            numbers = range(begin, min(begin + BATCH, count))
            instants = [now - (count - number) * SECOND for number in numbers]
            database.execute("BEGIN IMMEDIATE")
            database.executemany(
                "INSERT INTO run (id, job_id, revision, trigger, logical_at, fire_at, last_fire_at, state,"
                " outcome, queued_at, available_at, attempt, started_at, finished_at)"
                " VALUES (?, ?, 1, 'schedule', ?, ?, ?, 'done', 'success', ?, ?, 1, ?, ?)",
                (
                    (number + 1, number % jobs + 1, at, at, at, at, at, at + 2_000, at + 900_000)
                    for number, at in zip(numbers, instants, strict=True)
                ),
            )
            database.executemany(
                "INSERT INTO attempt (run_id, attempt, worker, boot_id, claimed_at, started_at, finished_at,"
                " pid, outcome, exit_code, duration_s)"
                " VALUES (?, 1, 'w', 'b', ?, ?, ?, 4711, 'success', 0, 0.9)",
                (
                    (number + 1, at + 1_000, at + 2_000, at + 900_000)
                    for number, at in zip(numbers, instants, strict=True)
                ),
            )
            database.execute("COMMIT")
            store.checkpoint()
    finally:
        store.close()


def opened(place: Place) -> SqliteStore:
    """Open the store, and make it if need be; not durable while it is filled."""
    store = open_store(place, create=True, for_scheduler=True)
    store._db.execute("PRAGMA synchronous = OFF")
    return store
