"""A record of the ledger's growth that is kept beside it, and compared with it after every step.

It knows which rule each job followed from when to when (its stretches), and how far the ledger accounts for
each job. Rows are looked at the moment they are committed, whoever inserted them.
"""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple

from cronq.model import Definition, Job, Micros
from cronq.store import Store
from cronq.timing import times_of
from tests.simulation.world import FireTimes

FOREVER = 2**60


class Stretch(NamedTuple):
    """A rule that a job followed: its fire times in `first <= f < end` are to be accounted for."""

    definition: Definition
    times: FireTimes
    first: Micros
    end: Micros = FOREVER


class Witness:
    """What must be true of a store, and always was."""

    def __init__(self, store: Store, database: sqlite3.Connection) -> None:
        """Watch a store through its own connection, which sees what it has committed."""
        self._store = store
        self._database = database
        self._accounted: dict[int, Micros] = {}
        self._stretches: dict[int, list[Stretch]] = {}
        self._changes: int | None = None
        self.newest_run = 0

    # What the witness is told

    def begins(self, job: Job) -> None:
        """Take note that a job follows its definition from its watermark on."""
        times = times_of(job, self._store.calendars())
        first = FOREVER if job.next_fire_at is None else job.next_fire_at
        self._stretches.setdefault(job.id, []).append(Stretch(job.definition, times, first))

    def ends(self, job: Job, watermark: Micros | None) -> None:
        """Take note that it followed it up to a watermark."""
        stretches = self._stretches[job.id]
        stretches[-1] = stretches[-1]._replace(end=FOREVER if watermark is None else watermark)

    # What the witness sees

    def look(self, now: Micros) -> None:
        """Look at what is new: each fire time comes once, in order, and never before its time (G1)."""
        changes = getattr(self._database, "total_changes", None)  # a server does not count them
        if changes is not None and changes == self._changes:
            return
        self._changes = changes
        found = self._rows("SELECT id, job_id, fire_at, last_fire_at FROM run WHERE id > ?", self.newest_run)
        for run_id, job_id, fire_at, last_fire_at in found:
            self.newest_run = run_id
            if fire_at is None:
                continue
            before = self._accounted.get(job_id, -FOREVER)
            assert fire_at > before, f"run {run_id} of job {job_id}: {fire_at} comes after {before}"
            assert last_fire_at <= now, f"run {run_id} of job {job_id} is early"
            self._accounted[job_id] = last_fire_at
            ((mark,),) = self._rows("SELECT next_fire_at FROM job WHERE id = ?", job_id)
            assert mark is None or mark > last_fire_at, f"the watermark of job {job_id} is behind"

    def look_at_watermarks(self) -> None:
        """None was moved back to what is accounted for.

        Where nothing is yet, it may be: the clock was set back to before the rule began to hold, and then
        other zone data made it begin anew.
        """
        for name, job_id, mark in self._rows(
            "SELECT name, id, next_fire_at FROM job WHERE next_fire_at IS NOT NULL AND removed_at IS NULL"
        ):
            assert mark > self._accounted.get(job_id, -FOREVER), f"the watermark of {name} went back"
            for stretch in self._stretches.get(job_id, ())[-1:]:
                is_earlier = mark < stretch.first < FOREVER
                if is_earlier and self._store.job(name).definition == stretch.definition:
                    self._stretches[job_id][-1] = stretch._replace(first=mark)

    def nothing_is_overdue(self, now: Micros) -> None:
        """A scheduler has lived until now, so nothing is due since before now (G2)."""
        overdue = self._rows(
            "SELECT id FROM job WHERE next_fire_at < ? AND paused_at IS NULL AND removed_at IS NULL", now
        )
        assert not overdue

    def everything_is_done(self) -> None:
        """Nothing is left in the queue, or in hand."""
        assert self._rows("SELECT count(*) FROM run WHERE state <> 'done'") == [(0,)]

    def account(self) -> int:
        """Hold all rows against all stretches: what was to be and nothing else, once each.

        Returns:
            How many fire times are accounted for.
        """
        return sum(self._account(job_id) for job_id in self._stretches)

    def _account(self, job_id: int) -> int:
        ((mark, removed_at),) = self._rows("SELECT next_fire_at, removed_at FROM job WHERE id = ?", job_id)
        end = FOREVER if mark is None or removed_at is not None else mark
        expected = [
            at
            for stretch in self._stretches[job_id]
            if stretch.first < FOREVER
            for at in stretch.times.iter_us(stretch.first, min(stretch.end, end))
        ]
        position = 0
        rows = self._rows(
            "SELECT fire_at, last_fire_at, fire_count FROM run"
            " WHERE job_id = ? AND fire_at IS NOT NULL ORDER BY fire_at",
            job_id,
        )
        for first, last, count in rows:
            span = expected[position : position + count]
            assert len(span) == count, f"job {job_id}: more rows than fire times from {first} on"
            assert (span[0], span[-1]) == (first, last), f"job {job_id}: {first} instead of {span[0]}"
            position += count
        assert position == len(expected), f"job {job_id}: {expected[position:][:3]} are missing"
        return position

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._database.execute(query, values).fetchall()
