"""Noticing that somebody set the wall clock: it moves otherwise than the clock that never steps back.

A slow correction (NTP slews at most 0.5 ms a second, a smeared leap second takes a day) is no step.
"""

from __future__ import annotations

from cronq.clock import Clock
from cronq.model import SECOND, AttemptEnd, Micros
from cronq.patience import Notice
from cronq.schedule.duration import format_duration
from cronq.store import Store

LEAST_STEP = SECOND
"""What differs less between two looks is how computers keep time."""
_UNSURE_S = 0.1
"""Two readings further apart than this say nothing: this process was stopped between them."""


class ClockWatch:
    """Compares wall time with monotonic time, from one look to the next."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset: Micros | None = None

    def look(self) -> tuple[Micros, Micros]:
        """Return wall time, and by how much it was set forward since the last look; negative: back.

        A suspend counts as a step forward where monotonic time stands still meanwhile, as on Linux.
        """
        before = self._clock.monotonic()
        now = self._clock.now()
        after = self._clock.monotonic()
        if after - before > _UNSURE_S:
            return now, 0
        offset = now - round(before * SECOND)
        step = 0 if self._offset is None else offset - self._offset
        self._offset = offset
        return now, step if abs(step) >= LEAST_STEP else 0


class ClockSteps:
    """Tells of each step, and lets the store follow one back when it can."""

    def __init__(self, store: Store, clock: Clock, notice: Notice) -> None:
        self._store = store
        self._watch = ClockWatch(clock)
        self._notice = notice
        self._back: list[tuple[Micros, Micros]] = []

    @property
    def are_pending(self) -> bool:
        """Whether there are steps back that the store does not know of."""
        return bool(self._back)

    def look(self) -> Micros:
        """Return wall time; a step is told, and one back becomes pending."""
        now, step = self._watch.look()
        by = format_duration(round(abs(step) / SECOND))
        if step > 0:
            self._notice(
                "info",
                f"the clock went forward by {by}, or the machine slept: jobs follow their catch-up policy",
            )
        elif step < 0:
            self._notice("warning", f"the clock was set back by {by}: nothing is fired again")
            self._back.append((now - step, now))
        return now

    def follow(self) -> None:
        """Let retries keep their delays. Raises: StoreError, and then it is still pending."""
        while self._back:
            before, after = self._back[0]
            self._store.follow_clock_back(before, now=after)
            del self._back[0]


def on_this_clock(end: AttemptEnd, now: Micros) -> AttemptEnd:
    """Return the end of an attempt; its retry keeps its delay if the clock was set back since."""
    if end.retry_at is None or end.finished_at < now + LEAST_STEP:
        return end
    return end._replace(retry_at=now + end.retry_at - end.finished_at)
