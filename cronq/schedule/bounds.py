"""`--from` and `--until`: the part of a schedule's fire times that a job wants.

Both are inclusive. An instant is itself. A date is a day of the job's zone: `from` begins with its
first instant, and `until` ends just before the first instant of the next day, so that `until` a day
and `from` the day after it share out all fire times between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cronq.errors import InstantError, ScheduleError
from cronq.schedule.days import NEVER
from cronq.schedule.firetimes import FireTimes
from cronq.schedule.instant import format_utc, is_relative, resolve
from cronq.schedule.pieces import printable
from cronq.schedule.readers import DATE
from cronq.schedule.schedule import datetime_from_us
from cronq.schedule.spans import spans_of
from cronq.schedule.walls import DAY_S, US

_DAY_WORDS = ("today", "tomorrow", "yesterday")


class Bounds(NamedTuple):
    """Where a schedule begins and ends.

    Attributes:
        start: The normal form of `--from`, which means the same at any later time; empty for none.
        until: The normal form of `--until`; empty for none.
        low_us: Fire times are at or after this instant.
        high_us: Fire times are before this instant.
    """

    start: str = ""
    until: str = ""
    low_us: int = -NEVER
    high_us: int = NEVER

    @property
    def is_open(self) -> bool:
        """Whether neither end is bounded."""
        return not self.start and not self.until


def read_bounds(start: str | None, until: str | None, *, tz: str, now_us: int | None = None) -> Bounds:
    """The bounds that two texts name.

    Args:
        start: A date or an instant as `cronq.schedule.instant` reads it; None or empty for no bound.
        until: Likewise.
        tz: The job's zone.
        now_us: From which `tomorrow` and `in 2h` count; texts that were stored do not need it.

    Raises:
        InstantError: A text is neither; points at the place.
        ScheduleError: Nothing is left between the two.
        TimezoneError: There is no such zone.
    """
    start_text, low_us = _read(start, tz, now_us, days=0) if start else ("", -NEVER)
    until_text, high_us = _read(until, tz, now_us, days=1) if until else ("", NEVER)
    if start and until and low_us >= high_us:
        shown = printable(until.strip())
        raise ScheduleError(
            f"`until` {shown} is before `from` {printable(start.strip())}",
            hint="both are inclusive, so `until` may be the same day or later",
            text=shown,
            span=(0, len(shown)),
        )
    return Bounds(start_text, until_text, low_us, high_us)


def _read(text: str, tz: str, now_us: int | None, *, days: int) -> tuple[str, int]:
    """The normal form and the instant of one bound; of a date that many days later."""
    body = text.strip(" \t")
    is_date = DATE.fullmatch(body) is not None
    is_day_word = body.lower() in _DAY_WORDS
    if now_us is None and not is_date and is_relative(body):
        # Resolved for its own error first: a text that cannot be read at all is not "relative".
        resolve(text, tz=tz, now_us=0)
        raise InstantError(
            f"`{printable(body)}` means another instant each time",
            hint="write a date or a full instant, such as 2026-12-24T18:00",
            text=printable(text),
            span=(0, len(text)),
        )
    at_us = resolve(text, tz=tz, now_us=now_us or 0).at_us
    if not is_date and not is_day_word:
        normal = format_utc(at_us) if is_relative(body) else body
        # `until` an instant is inclusive, and high_us is not.
        return normal, at_us + days
    spans = spans_of(tz)
    second = at_us // US
    day = (second + spans.at(second).offset) // DAY_S
    normal = body if is_date else datetime_from_us(day * DAY_S * US).date().isoformat()
    return normal, spans.first_instant(_midnight(normal) + days * DAY_S) * US


def _midnight(date_text: str) -> int:
    # A date whose midnight a gap swallows has its first instant on the clock of another day (Apia 2011).
    return resolve(date_text, tz="UTC", now_us=0).at_us // US


class Bounded:
    """The fire times that lie within bounds."""

    __slots__ = ("_bounds", "_times")

    def __init__(self, times: FireTimes, bounds: Bounds) -> None:
        self._times = times
        self._bounds = bounds

    def next_us(self, after_us: int) -> int | None:
        """The first fire time after an instant, or None when there is none within 50 years."""
        found = self._times.next_us(max(after_us, self._bounds.low_us - 1))
        return found if found is not None and found < self._bounds.high_us else None

    def prev_us(self, before_us: int) -> int | None:
        """The last fire time before an instant, or None when there is none within 50 years."""
        found = self._times.prev_us(min(before_us, self._bounds.high_us))
        return found if found is not None and found >= self._bounds.low_us else None

    def iter_us(self, start_us: int, end_us: int) -> Iterator[int]:
        """The fire times in start <= fire time < end, ascending, streamed."""
        low, high = max(start_us, self._bounds.low_us), min(end_us, self._bounds.high_us)
        return iter(self._times.iter_us(low, high) if low < high else ())

    def count_us(self, start_us: int, end_us: int) -> int:
        """How many fire times are in start <= fire time < end."""
        low, high = max(start_us, self._bounds.low_us), min(end_us, self._bounds.high_us)
        return self._times.count_us(low, high) if low < high else 0
