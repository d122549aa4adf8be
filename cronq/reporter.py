"""What the scheduler says: rows of the ledger turned into events, and the state of things for a footer.

It remembers the claims that are in hand, because an event wants more (the job's name, its history) than the
report of a worker holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cronq import events
from cronq.errors import RunNotFound, StoreError
from cronq.model import (
    SECOND,
    AttemptEnd,
    AttemptKey,
    AttemptStart,
    Claim,
    Definition,
    Micros,
    Outcome,
    Run,
    State,
)
from cronq.store.base import Store
from cronq.worker.cap import INCOMPLETE


@dataclass(slots=True)
class Tally:
    """What this scheduler has seen end."""

    finished: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0


EXPECTED_FROM = 12
"""Newest successes of a job from which the duration of the next one is guessed."""

Tail = Callable[[Claim, AttemptEnd], tuple[str, ...]]
"""Gives the last lines that an attempt printed, of those attempts whose lines are wanted."""


class Watcher(Protocol):
    """Wants to know what became of runs, with their definitions, which events do not hold."""

    def launched(self, runs: Sequence[Run], definition_of: Callable[[int, int], Definition]) -> None:
        """Runs were inserted; `definition_of` gives that of a job's revision."""

    def started(self, claim: Claim, start: AttemptStart) -> None:
        """A process was started."""

    def ended(self, claim: Claim, end: AttemptEnd, after: Run) -> None:
        """An attempt ended; `after` is its run now."""


class Watchers:
    """Several that hear the same."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def launched(self, runs: Sequence[Run], definition_of: Callable[[int, int], Definition]) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.launched(runs, definition_of)

    def started(self, claim: Claim, start: AttemptStart) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.started(claim, start)

    def ended(self, claim: Claim, end: AttemptEnd, after: Run) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.ended(claim, end, after)


class Reporter:
    """Turns what was written to the ledger into events; told after the commit, never before."""

    def __init__(self, store: Store, tell: events.Sink, tail: Tail, watcher: Watcher | None = None) -> None:
        """Speak through `tell`, and show what `tail` gives; `watcher` hears the same, before."""
        self._watcher = watcher
        self.tally = Tally()
        self._store = store
        self._tell = tell
        self._tail = tail
        self._claims: dict[AttemptKey, Claim] = {}
        self._started: dict[AttemptKey, Micros] = {}
        self._expected: dict[AttemptKey, float | None] = {}

    def take(self, claim: Claim, started_at: Micros | None = None) -> None:
        """Remember a claim until its end is told."""
        self._claims[claim.key] = claim
        if started_at is not None:
            self._started[claim.key] = started_at

    def drop(self, key: AttemptKey) -> None:
        """Forget a claim that was taken back."""
        self._claims.pop(key, None)

    def in_hand(self) -> list[Claim]:
        """Return the claims whose end has not been told."""
        return list(self._claims.values())

    def snapshot(self, now: Micros, slots: int) -> events.Snapshot:
        """Return the present state for a footer or a status line."""
        running = tuple(
            events.RunningRun(
                claim.run.job,
                claim.run.id,
                self._started.get(key, claim.claimed_at),
                self._expectation(claim),
            )
            for key, claim in self._claims.items()
        )
        upcoming = tuple(self._store.upcoming(3))
        return events.Snapshot(now, running, upcoming, self._store.totals().queued, slots)

    def _expectation(self, claim: Claim) -> float | None:
        """Return the median of the job's newest successes; asked of the store once for each attempt."""
        if claim.key not in self._expected:
            took = sorted(self._store.durations(claim.run.job_id, limit=EXPECTED_FROM))
            self._expected[claim.key] = took[len(took) // 2] if took else None
        return self._expected[claim.key]

    def announce(self, runs: Sequence[Run], now: Micros) -> None:
        """Tell of runs just inserted: queued ones, and fire times that passed."""
        if self._watcher is not None:
            self._watcher.launched(runs, self._store.definition)
        for run in runs:
            if run.state is State.QUEUED:
                self._tell(events.RunQueued(now, run.job, run.id, run.trigger, run.fire_at))
            elif run.outcome is not None and run.fire_at is not None:
                last = run.fire_at if run.last_fire_at is None else run.last_fire_at
                self._tell(
                    events.FireTimesPassed(
                        now, run.job, run.id, run.outcome, run.reason, run.fire_at, last, run.fire_count
                    )
                )

    def started(self, start: AttemptStart) -> None:
        """Tell that an attempt's process runs."""
        claim = self._claims.get(start.key)
        if claim is None:
            return
        self._started[start.key] = start.started_at
        run = claim.run
        if self._watcher is not None:
            self._watcher.started(claim, start)
        since = max(run.queued_at if run.fire_at is None else run.fire_at, 0)
        lag_s = (start.started_at - since) / SECOND
        self._tell(events.AttemptStarted(start.started_at, run.job, run.id, run.attempt, start.pid, lag_s))

    def ended(self, end: AttemptEnd, after: Run | None, now: Micros) -> None:
        """Tell how an attempt ended; `after` is its run now, None if the ledger refused the end."""
        claim = self._claims.pop(end.key, None)
        started_at = self._started.pop(end.key, end.started_at)
        self._expected.pop(end.key, None)
        if after is None:
            end, after = self._as_recorded(end)
        if claim is None or after is None:
            return
        if self._watcher is not None:
            self._watcher.ended(claim, end, after)
        duration_s = end.usage.duration_s if end.usage else 0.0
        if end.usage is None and started_at is not None:
            duration_s = max(0, end.finished_at - started_at) / SECOND
        is_done = after.state is State.DONE
        if is_done:
            self.tally.finished += 1
            self.tally.succeeded += after.outcome is Outcome.SUCCESS
            self.tally.cancelled += after.outcome is Outcome.CANCELLED
            self.tally.failed += after.outcome not in {Outcome.SUCCESS, Outcome.CANCELLED}
        self._tell(
            events.AttemptFinished(
                end.finished_at,
                claim.run.job,
                claim.run.id,
                claim.run.attempt,
                end.outcome,
                end.reason,
                end.exit_code,
                end.signal,
                duration_s,
                None if is_done else max(0.0, (after.available_at - now) / SECOND),
                after.failures,
                claim.definition.retries,
                self._tail(claim, end),
            )
        )
        if end.reason.endswith(INCOMPLETE):
            self.notice(now, "warning", f"{claim.run.job} #{claim.run.id}: {INCOMPLETE}")
        for survivor in end.survivors:
            self.notice(now, "warning", f"{claim.run.job} #{claim.run.id}: process {survivor} survived KILL")

    def _as_recorded(self, end: AttemptEnd) -> tuple[AttemptEnd, Run | None]:
        """Return the end that the ledger has: an earlier scheduler's worker was faster with the truth."""
        try:
            detail = self._store.run(end.key[0])
        except (StoreError, RunNotFound):
            return end, None
        for attempt in detail.attempts:
            if attempt.attempt == end.key[1] and attempt.outcome is not None:
                recorded = end._replace(
                    outcome=attempt.outcome,
                    finished_at=attempt.finished_at or end.finished_at,
                    reason=attempt.reason,
                    exit_code=attempt.exit_code,
                    signal=attempt.signal,
                    usage=attempt.usage,
                    survivors=(),
                )
                return recorded, detail.run
        return end, None

    def notice(self, now: Micros, level: str, message: str) -> None:
        """Tell something that a person should read."""
        self._tell(events.Notice(now, level, message))
