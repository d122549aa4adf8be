"""Retention from within the scheduler: every ten minutes, in steps of a few milliseconds, after all else.

It wakes nobody up, unless more is left to be done: a look at the index of jobs with limits, on a turn that
comes anyway, is all that it costs where no job has any.
"""

from __future__ import annotations

from collections.abc import Callable

from cronq import events
from cronq.clock import Clock
from cronq.errors import CronqError, StoreError
from cronq.model import Micros
from cronq.pruning import Pruned, Steps, prune_kept
from cronq.scheduler import Scheduler, Stage, Ticker
from cronq.sizes import short_size
from cronq.store import Place

EVERY_S = 600.0
FIRST_AFTER_S = 5.0
BUDGET_S = 0.005
"""How long one turn may look around before it has removed anything."""


class Sweep:
    """The part of one scheduler that removes what is beyond the limits of its jobs."""

    def __init__(
        self,
        place: Place,
        clock: Clock,
        tell: events.Sink,
        leftovers: Callable[[], Steps] | None = None,
    ) -> None:
        """Remove runs of the store at a place, with their logs.

        Args:
            place: Of the logs.
            clock: Of the scheduler.
            tell: Takes what was done.
            leftovers: Remove what others have left here, after the jobs.
        """
        self._leftovers = leftovers
        self.ticker = Ticker(EVERY_S, self._act, clock.monotonic() + FIRST_AFTER_S, wakes=False)
        self._place = place
        self._clock = clock
        self._tell = tell
        self._steps: Steps | None = None
        self._total = Pruned()

    def _act(self, scheduler: Scheduler) -> None:
        """Do one step that removes something, or look for one for a while."""
        if scheduler.stage is not Stage.RUNNING:
            return
        now = self._clock.now()
        try:
            scheduler.store.verify()  # logs are removed before rows, and must be those of this store
            due_at = scheduler.store.next_wake(now)
            if due_at is not None and due_at <= now:
                # Runs come first; the loop turns for them anyway, or pauses while the store is in trouble.
                self.ticker.next_at, self.ticker.wakes = 0.0, False
                return
            is_done = self._advance(scheduler, now)
        except StoreError as error:
            self._steps = None
            self._say("warning", f"retention: {error.message}; it is tried again in ten minutes")
            is_done = True
        self.ticker.wakes = not is_done
        if not is_done:
            self.ticker.next_at = 0.0  # again on the next turn

    def _advance(self, scheduler: Scheduler, now: Micros) -> bool:
        """Return whether all is done."""
        if self._steps is None:
            self._steps = self._all_jobs(scheduler, now)
        ends = self._clock.monotonic() + BUDGET_S
        for step in self._steps:
            self._total += step
            if step.runs or self._clock.monotonic() >= ends:
                return False
        self._steps = None
        total, self._total = self._total, Pruned()
        if total.runs:
            what = f"{total.runs:,} run{'s' * (total.runs != 1)}, {short_size(total.size)} of logs"
            self._say("info", f"retention: removed {what}")
        return True

    def _all_jobs(self, scheduler: Scheduler, now: Micros) -> Steps:
        store, after = scheduler.store, 0
        while found := store.kept_jobs(after=after, limit=1):
            (history,) = found
            after = history.id
            try:
                yield from prune_kept(store, self._place, history, now)
            except StoreError:
                raise
            except CronqError as error:
                self._say("warning", f"{history.name}: its --keep cannot be read: {error.message}")
        if self._leftovers is not None:
            yield from self._leftovers()

    def _say(self, level: str, message: str) -> None:
        self._tell(events.Notice(self._clock.now(), level, message))
