"""One tick as cases: one for each fire time that was decided, and what waits for the next tick."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cronq.model import SECOND, UNSTARTED, Attempt, Micros, Outcome, Run, State

FAILED = frozenset({Outcome.FAILURE, Outcome.TIMEOUT, Outcome.ABANDONED})


class Case(NamedTuple):
    """What became of a fire time, or of a run that was asked for by hand.

    Attributes:
        at: The fire time; of other runs, what they are about.
        fire_count: Fire times that it stands for: over 1 only where there are too many to name each.
        attempt: Processes that were started for it.
        lag_s: From the fire time to the start; None: it was not started.
        is_cut: It was stopped because the time of the tick was over.
        tail: Last lines of its output, oldest first, without secrets.
    """

    job: str
    at: Micros
    run_id: int
    outcome: Outcome
    reason: str = ""
    fire_count: int = 1
    attempt: int = 0
    duration_s: float = 0.0
    lag_s: float | None = None
    is_cut: bool = False
    tail: tuple[str, ...] = ()

    @property
    def has_failed(self) -> bool:
        """Whether it ran, and not well."""
        return self.outcome in FAILED


class Waiting(NamedTuple):
    """A run that is left to the next tick.

    Attributes:
        at: As of `Case`.
        available_at: When it may start.
        attempt: Processes that were started for it so far.
    """

    job: str
    at: Micros
    run_id: int
    available_at: Micros
    attempt: int


class Tick(NamedTuple):
    """All that a tick did.

    Attributes:
        at: The instant that it was about.
        is_spent: Its budget was, and something due is left.
        took_s: How long it took.
    """

    at: Micros
    cases: tuple[Case, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    is_spent: bool = False
    took_s: float = 0.0

    def counts(self) -> Counter[Outcome]:
        """Return how many fire times ended in which way."""
        found: Counter[Outcome] = Counter()
        for case in self.cases:
            found[case.outcome] += case.fire_count
        return found


def by_row(cases: Iterable[Case]) -> list[Case]:
    """Return cases in which fire times that one row accounts for are one again: what people read."""
    found: list[Case] = []
    for case in cases:
        if found and found[-1].run_id == case.run_id:
            found[-1] = found[-1]._replace(fire_count=found[-1].fire_count + case.fire_count)
        else:
            found.append(case)
    return found


def case_of(run: Run, attempt: Attempt | None, cut: Iterable[int] = ()) -> Case:
    """Return the case of a run that is done."""
    started = None if run.outcome in UNSTARTED else run.started_at
    took_s = 0.0
    if attempt is not None and attempt.usage is not None:
        took_s = attempt.usage.duration_s
    elif attempt is not None and attempt.started_at is not None and attempt.finished_at is not None:
        took_s = max(0, attempt.finished_at - attempt.started_at) / SECOND
    return Case(
        run.job,
        run.logical_at if run.fire_at is None else run.fire_at,
        run.id,
        run.outcome or Outcome.ABANDONED,
        run.reason,
        run.fire_count,
        run.attempt,
        took_s,
        None if started is None else max(0, started - run.logical_at) / SECOND,
        run.id in cut,
    )


def waiting_in(rows: Sequence[tuple[Run, Attempt | None]]) -> tuple[Waiting, ...]:
    """Return the runs that are not done, in the order in which they may start."""
    found = [
        Waiting(run.job, run.logical_at, run.id, run.available_at, run.attempt)
        for run, _ in rows
        if run.state is not State.DONE
    ]
    return tuple(sorted(found, key=lambda one: (one.available_at, one.run_id)))


def sentence_of(tick: Tick) -> str:
    """Return `3 fire times: 2 ok, 1 failed; 1 waits for the next tick`."""
    counts = tick.counts()
    said = [
        f"{counts[outcome]} {'ok' if outcome is Outcome.SUCCESS else outcome.value}"
        for outcome in Outcome
        if counts[outcome]
    ]
    text = "nothing was due"
    if said:
        text = f"{counts.total()} fire time{'s' * (counts.total() != 1)}: {', '.join(said)}"
    if tick.waiting:
        text += f"; {len(tick.waiting)} wait{'s' * (len(tick.waiting) == 1)} for the next tick"
    return text + ("; the budget is spent" if tick.is_spent else "")
