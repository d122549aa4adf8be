"""What an answer is made of: what is known, and what follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cronq.model import Attempt, Definition, Job, Micros, Run
from cronq.plan import FireTimes, Placement

Parts = tuple[str | Micros, ...]
"""A sentence in pieces: a number is an instant, which the reader of it sees in a zone."""


class Life(NamedTuple):
    """When a scheduler lived.

    Attributes:
        stopped_at: None: it lives, or it was killed.
    """

    id: int
    started_at: Micros
    stopped_at: Micros | None
    pid: int
    boot_id: str
    version: str


class Bystander(NamedTuple):
    """Another run that was not done at an instant.

    Attributes:
        started_at: Of its first attempt; None: it was only queued.
        locks: The named locks of its definition.
    """

    run_id: int
    job: str
    queued_at: Micros
    started_at: Micros | None
    locks: tuple[str, ...] = ()


class InForce(NamedTuple):
    """The definition in force at an instant.

    Attributes:
        until: The last instant that belongs to it; None: it still is in force.
        definition: None if it cannot be read.
        times: None if they cannot be computed any more.
        bare: The schedule alone, without bounds and calendars.
        placement: None without jitter and blackouts.
        note: What a clock change or a calendar did to a fire time; empty if nothing.
        changes: What the next definition changed, a line each.
    """

    revision: int
    since: Micros
    until: Micros | None
    definition: Definition | None
    times: FireTimes | None
    bare: FireTimes | None
    placement: Placement | None
    note: Callable[[Micros], str]
    changes: tuple[str, ...] = ()


class Recorded(NamedTuple):
    """The row that accounts for a fire time, and what was around it.

    Attributes:
        fire_at: The fire time in question; None for a run that was not made for one.
        others: Runs that were not done when this one could have begun, newest first.
        lives: Schedulers around that time, oldest first.
        successor: The row of the next fire times.
    """

    run: Run
    attempts: tuple[Attempt, ...]
    fire_at: Micros | None
    others: tuple[Bystander, ...] = ()
    lives: tuple[Life, ...] = ()
    successor: Run | None = None


class Present(NamedTuple):
    """How things are now.

    Attributes:
        alive: Whether a scheduler runs.
        active: The job's runs that are not done, oldest first.
        held_by: Of each lock that an active run waits for: who holds it.
        executing: How many runs of all jobs are running.
        last_life: The newest scheduler that is known.
    """

    alive: bool
    active: tuple[Run, ...] = ()
    held_by: tuple[tuple[str, str], ...] = ()
    executing: int = 0
    last_life: Life | None = None


class Facts(NamedTuple):
    """All that an answer rests on.

    Attributes:
        asked_at: The instant that was asked about; None: the newest fire time.
        fire_at: The fire time that is explained: the one asked about, or the nearest; None: there is none.
        before: The last fire time before the instant that was asked about.
        after: The first one after it.
        in_force: At the fire time; None: there is none, or the job was not there.
        in_force_then: At the instant that was asked about; None: none was, or the job was not there.
        recorded: What the ledger says about the fire time; None: nothing.
        at_startup: Whether a start of the scheduler is a fire time, too.
        is_computable: Whether its present schedule can be computed.
    """

    job: Job
    now: Micros
    present: Present
    asked_at: Micros | None = None
    fire_at: Micros | None = None
    before: Micros | None = None
    after: Micros | None = None
    in_force: InForce | None = None
    in_force_then: InForce | None = None
    recorded: Recorded | None = None
    at_startup: bool = False
    is_computable: bool = True
    pruned_before: Micros | None = None


class Reason(NamedTuple):
    """One thing that is true and explains something.

    Attributes:
        code: What kind of reason, for machines.
    """

    code: str
    parts: Parts


class Answer(NamedTuple):
    """What there is to say.

    Attributes:
        verdict: An outcome, `queued`, `running`, `due`, `ahead`, `pruned` or `unaccounted`; `none` if there
            is no fire time at all.
        absent: Why there is no fire time at the instant that was asked about; empty if there is one.
        reasons: Why the fire time became what it did.
        ahead: What happens next.
    """

    verdict: str
    absent: tuple[Reason, ...]
    reasons: tuple[Reason, ...]
    ahead: tuple[Reason, ...]


def took(micros: Micros) -> str:
    """Return a span of time in words: `3.2s`, `5m`, `2h 5m`."""
    seconds = micros / 1_000_000
    if seconds < 60:
        return f"{seconds:.3g}s"
    whole = round(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if whole >= size and len(parts) < 2:
            parts.append(f"{whole // size}{unit}")
            whole %= size
    return " ".join(parts)
