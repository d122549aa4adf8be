"""Settling what is due before a job is changed, while others change it too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from cronq.cli._change import change_jobs, settle, skip_due
from cronq.cli._session import Session
from cronq.cli._terminal import Environment
from cronq.errors import StoreBusy
from cronq.model import SECOND, Command, CommandKind, Definition, Job, Micros, Outcome
from cronq.plan import Active, Fire, Launch, Passed
from cronq.store import CalendarText, DueJob, JobChange, Store

NOW: Micros = 1_767_340_800 * SECOND
MINUTE = 60 * SECOND


def job(*, due_since: int = 0, paused: bool = False, schedule: str = "every 1m") -> Job:
    definition = Definition(Command(CommandKind.ARGV, ("true",)), schedule)
    next_fire_at = NOW + MINUTE - due_since * MINUTE
    return Job(1, "a", 1, definition, 0, 0, next_fire_at, paused_at=NOW - 3_600 * SECOND if paused else None)


class Stubborn:
    """A store in which somebody else is faster, a number of times."""

    def __init__(self, due: DueJob, refusals: int) -> None:
        self.due_job, self.refusals = due, refusals
        self.changes: list[JobChange] = []

    def due(self, names: Sequence[str]) -> list[DueJob]:
        return [self.due_job]

    def change_jobs(
        self, changes: Sequence[JobChange], *, now: Micros, calendar: CalendarText | None = None
    ) -> list[Job] | None:
        if self.refusals:
            self.refusals -= 1
            return None
        self.changes += changes
        self.due_job = DueJob(
            Job(1, "a", 1, self.due_job.job.definition, 0, 0, changes[0].settled.next_fire_at), Active()
        )
        return [self.due_job.job]


def session(tmp_path: Path) -> Session:
    environ = {"HOME": str(tmp_path), "CRONQ_DB": str(tmp_path / "x.db")}
    return Session(Environment(None, None, None, environ, cwd=lambda: tmp_path, now=lambda: NOW))


def pause(due: DueJob, launch: Launch, now: Micros) -> JobChange:
    return JobChange(launch, paused_at=now)


def test_change_is_decided_again_when_somebody_was_faster(tmp_path: Path) -> None:
    store = Stubborn(DueJob(job(), Active()), refusals=3)
    ((before, after),) = change_jobs(session(tmp_path), cast("Store", store), ["a", "a"], pause)
    assert (before.name, after.name) == ("a", "a")
    assert len(store.changes) == 1


def test_change_gives_up_at_last(tmp_path: Path) -> None:
    store = Stubborn(DueJob(job(), Active()), refusals=10_000)
    with pytest.raises(StoreBusy, match="kept being changed"):
        change_jobs(session(tmp_path), cast("Store", store), ["a"], pause)


def test_change_that_leaves_the_job_alone_writes_nothing(tmp_path: Path) -> None:
    store = Stubborn(DueJob(job(), Active()), refusals=0)
    assert change_jobs(session(tmp_path), cast("Store", store), ["a"], lambda *_: None) == []
    assert store.changes == []


def test_more_than_one_decision_holds_is_settled_step_by_step(tmp_path: Path) -> None:
    definition = Definition(Command(CommandKind.ARGV, ("true",)), "every 1s", grace_s=1e6)
    due = Job(1, "a", 1, definition, 0, 0, NOW - 2_500 * SECOND)
    store = Stubborn(DueJob(due, Active()), refusals=0)
    change_jobs(session(tmp_path), cast("Store", store), ["a"], pause)
    assert len(store.changes) > 1
    assert [change.paused_at for change in store.changes] == [None] * (len(store.changes) - 1) + [NOW]
    entries = [entry for change in store.changes for entry in change.settled.entries]
    counts = [entry.fire_count if isinstance(entry, Passed) else 1 for entry in entries]
    assert sum(counts) == 2_501


def test_settle_leaves_a_job_that_is_not_due_alone() -> None:
    assert settle(DueJob(job(), Active()), NOW) == Launch(job(), (), NOW + MINUTE)
    assert skip_due(DueJob(job(), Active()), NOW, "removed") == Launch(job(), (), NOW + MINUTE)


def test_settle_decides_as_the_scheduler_would() -> None:
    launch = settle(DueJob(job(due_since=1), Active()), NOW)
    assert [type(entry) for entry in launch.entries] == [Fire]
    assert launch.next_fire_at == NOW + MINUTE


def test_settle_records_a_pause_as_skipped() -> None:
    launch = settle(DueJob(job(due_since=5, paused=True), Active()), NOW)
    (entry,) = launch.entries
    assert isinstance(entry, Passed)
    assert (entry.fire_count, entry.outcome, entry.reason) == (5, Outcome.SKIPPED, "paused")


def test_skip_due_starts_nothing() -> None:
    launch = skip_due(DueJob(job(due_since=3), Active()), NOW, "removed")
    (entry,) = launch.entries
    assert isinstance(entry, Passed)
    assert (entry.fire_count, entry.reason) == (3, "removed")
