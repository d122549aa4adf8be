"""What a portable state holds: of each job its cursor, what became of its newest runs, and what is open.

It is not the ledger: of done runs only those stay that somebody may need, and definitions are in the file of
jobs. What decides about fire times is kept all the same, so that the next tick can tell which ones the
cursor promised although the file has changed since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cronq.model import UNSTARTED, Definition, Micros, Outcome, State, Trigger

KEPT = 10
"""Newest done runs of a job that are kept, and the newest of each outcome."""


class DoneRun(NamedTuple):
    """A run that is done, or fire times that ended without one.

    Attributes:
        at: The fire time; of a run that was made by hand, what it is about.
        last_at: Of several fire times the last one, else `at`.
        fire_count: How many fire times it accounts for.
        queued_at: With `run_id` its identity: two runners give the same number to different runs.
    """

    at: Micros
    run_id: int
    queued_at: Micros
    trigger: Trigger
    outcome: Outcome
    finished_at: Micros
    attempt: int = 0
    started_at: Micros | None = None
    last_at: Micros = 0
    fire_count: int = 1

    @property
    def was_started(self) -> bool:
        """Whether a process was there."""
        return self.outcome not in UNSTARTED and self.attempt > 0


class OpenRun(NamedTuple):
    """A run that is queued (perhaps for a retry), or was claimed and has no end.

    Attributes:
        claimed_at: Of the attempt that has no end; None: it is queued.
    """

    at: Micros
    run_id: int
    queued_at: Micros
    trigger: Trigger
    state: State
    available_at: Micros
    attempt: int = 0
    failures: int = 0
    claimed_at: Micros | None = None


class JobState(NamedTuple):
    """One job.

    Attributes:
        name: Of the job.
        definition: A digest of its definition, without what differs from one machine to another.
        firing: What decides about its fire times, as `firing_of` gives it.
        cursor: The first fire time that is not accounted for; None: there is none.
        paused_at: Since when it is paused.
        done: Ascending by instant, then by number.
        open: Likewise.
    """

    name: str
    definition: str
    firing: Mapping[str, object]
    cursor: Micros | None
    paused_at: Micros | None = None
    done: tuple[DoneRun, ...] = ()
    open: tuple[OpenRun, ...] = ()


class Document(NamedTuple):
    """All jobs, by name, and the highest run number that was ever given."""

    jobs: Mapping[str, JobState]
    runs: int = 0


EMPTY = Document({})
_FIRING = {
    "schedule": "",
    "tz": "UTC",
    "dst": "cron",
    "valid_from": None,
    "valid_until": None,
    "calendars": (),
}


def firing_of(definition: Definition) -> dict[str, object]:
    """Return the fields that decide about fire times, less those that say what they say anyway."""
    values = definition._asdict()
    found = {name: values[name] for name, usual in _FIRING.items() if values[name] != usual}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def with_firing(definition: Definition, firing: Mapping[str, object]) -> Definition:
    """Return a definition with the fire times of another one."""
    values = {**_FIRING, **firing}
    values["calendars"] = tuple(str(use) for use in values["calendars"] or ())  # type: ignore[attr-defined]
    return definition._replace(**values)  # type: ignore[arg-type]


def kept(runs: Iterable[DoneRun]) -> tuple[DoneRun, ...]:
    """Return the runs that a state keeps."""
    newest = sorted(set(runs), key=_by_age, reverse=True)
    seen: set[Outcome] = set()
    chosen = []
    for number, run in enumerate(newest):
        if number < KEPT or run.outcome not in seen:
            chosen.append(run)
        seen.add(run.outcome)
    return tuple(sorted(chosen, key=lambda run: (run.at, run.run_id)))


def _by_age(run: DoneRun) -> tuple[Micros, int]:
    return (max(run.at, run.last_at), run.run_id)
