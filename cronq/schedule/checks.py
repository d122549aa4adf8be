"""What assertions look for in fire times. Each check jumps from period to period and walks no dense ones."""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple

from cronq.errors import DurationError
from cronq.schedule.calendars import date_text, weekday_text
from cronq.schedule.days import EPOCH_ORDINAL, month_length
from cronq.schedule.duration import format_duration, parse_duration
from cronq.schedule.firetimes import FireTimes
from cronq.schedule.instant import local_text
from cronq.schedule.pieces import Piece
from cronq.schedule.readers import read_day
from cronq.schedule.spans import ZoneSpans, spans_of
from cronq.schedule.stretches import day_at, instants_of
from cronq.schedule.walls import DAY_S, US
from cronq.schedule.words import listed

UNITS = ("minute", "hour", "day", "week", "month")
_PERIOD = re.compile(r"(?P<year>[0-9]{4})(?:-(?P<month>[0-9]{2}))?")
_YEARS = (1970, 2199)
_NAMED = 3
MOST_STEPS = 200_000
"""Periods or gaps that one check looks at: two years of hours, and twenty weeks of minutes."""

# Monday 1970-01-05.
_MONDAY = 4

Finding = tuple[str, tuple[int, ...]]
"""A message and some of the offending instants."""


def read_period(piece: Piece) -> tuple[int, int]:
    """The first day number of a year, a month or a day, and that of the day after it.

    Raises:
        ScheduleError: It is none of them.
    """
    if len(piece.text) > 7:
        day = read_day(piece)
        return day, day + 1
    found = _PERIOD.fullmatch(piece.text)
    if found is None:
        raise piece.error(
            f"`{piece.text}` is not a period", "a year, month or day: 2027, 2027-03 or 2027-03-28"
        )
    year, month = int(found["year"]), int(found["month"] or 1)
    if not _YEARS[0] <= year <= _YEARS[1]:
        raise piece.cut(0, 4).error(f"the year {year} is out of range {_YEARS[0]}-{_YEARS[1]}", "")
    if not 1 <= month <= 12:
        raise piece.cut(5, 7).error(f"month {month} is out of range 1-12", "months are 1 to 12")
    first = date(year, month, 1).toordinal() - EPOCH_ORDINAL
    if found["month"]:
        return first, first + month_length(year, month)
    return first, date(year + 1, 1, 1).toordinal() - EPOCH_ORDINAL


def read_duration(piece: Piece) -> float:
    """The seconds of a duration of at least one second.

    Raises:
        ScheduleError: It is none.
    """
    try:
        seconds = parse_duration(piece.text)
    except DurationError as error:
        left, right = error.span or (0, len(piece.text))
        raise piece.cut(left, right).error(error.message, error.hint) from error
    if seconds < 1:
        raise piece.error("a gap is at least 1s", "such as `at least every 26h`")
    return seconds


class Count(NamedTuple):
    """`runs N times in PERIOD`; `kind` is `exactly`, `least` or `most`."""

    kind: str
    number: int
    period: str
    first: int
    last: int

    def check(self, times: FireTimes, tz: str, low_us: int, high_us: int) -> Finding | None:
        """The number that there are, and the days that stand out."""
        del low_us, high_us
        spans = spans_of(tz)
        start, end = (_midnight(spans, day) for day in (self.first, self.last))
        found = times.count_us(start, end)
        if {"exactly": found == self.number, "least": found >= self.number}.get(
            self.kind, found <= self.number
        ):
            return None
        wanted = {"exactly": "not", "least": "not at least", "most": "not at most"}[self.kind]
        message = f"runs {_times(found)} in {self.period}, {wanted} {self.number}"
        return message + self._odd_days(times, spans, found), ()

    def _odd_days(self, times: FireTimes, spans: ZoneSpans, found: int) -> str:
        """The days whose number of runs differs from what nearly all have, else the first and last run."""
        days = range(self.first, self.last)
        if self.kind == "exactly" and self.number % len(days) == 0 and len(days) > 1 and found:
            each = self.number // len(days)
            odd = []
            for day in days:
                count = times.count_us(_midnight(spans, day), _midnight(spans, day + 1))
                if count != each:
                    odd.append(f"{date_text(day)} has {count or 'none'}")
            if len(odd) <= len(days) // 4:
                more = [f"{len(odd) - _NAMED} more differ"] if len(odd) > _NAMED else []
                return ": " + listed([*odd[:_NAMED], *more])
        first = times.next_us(_midnight(spans, self.first) - 1)
        last = times.prev_us(_midnight(spans, self.last))
        if len(days) == 1 or not found or first is None or last is None:
            return ""
        return f": the first on {_date(spans, first)}, the last on {_date(spans, last)}"


class Forbidden(NamedTuple):
    """`never between`, `only between`, `never on`, `only on`.

    Attributes:
        parts: Weekdays (bit 0 is Sunday), first second of the day and the one after the last, which
            is over a day where midnight is crossed.
        frees: A second of the day that is allowed though a part begins with it; the end of `only between`.
    """

    parts: tuple[tuple[int, int, int], ...]
    frees: int | None = None

    def check(self, times: FireTimes, tz: str, low_us: int, high_us: int) -> Finding | None:
        """The first fire times inside of what is forbidden."""
        spans = spans_of(tz)
        at: int | None = times.next_us(low_us - 1)
        found: list[int] = []
        while at is not None and at < high_us and len(found) <= _NAMED:
            # The day before is looked at too, for parts that cross midnight.
            day = day_at(spans, at)
            inside = self._inside(times, spans, day, max(low_us, at), high_us)
            new = [instant for instant in inside if not found or instant > found[-1]]
            found.extend(new[: _NAMED + 1 - len(found)])
            at = times.next_us(max(_midnight(spans, day + 1) - 1, at))
        if not found:
            return None
        more = " and more" if len(found) > _NAMED else ""
        texts = [local_text(instant, tz) for instant in found[:_NAMED]]
        return f"runs at {', '.join(texts)}{more}", tuple(found[:_NAMED])

    def _inside(self, times: FireTimes, spans: ZoneSpans, day: int, low_us: int, high_us: int) -> list[int]:
        """The first few forbidden fire times on a day, ascending."""
        found: set[int] = set()
        for weekdays, first, last in self.parts:
            for begins in (day - 1, day):
                low, high = begins * DAY_S + first, min(begins * DAY_S + last, (day + 1) * DAY_S)
                if not weekdays >> (begins + 4) % 7 & 1 or low >= high:
                    continue
                for left, right in instants_of(spans, max(low, day * DAY_S), high):
                    found.update(self._first(times, spans, max(left, low_us), min(right, high_us)))
        return sorted(found)[: _NAMED + 1]

    def _first(self, times: FireTimes, spans: ZoneSpans, low_us: int, high_us: int) -> list[int]:
        found: list[int] = []
        at = times.next_us(low_us - 1)
        while at is not None and at < high_us and len(found) <= _NAMED:
            if not self._is_free(spans, at):
                found.append(at)
            at = times.next_us(at)
        return found

    def _is_free(self, spans: ZoneSpans, at_us: int) -> bool:
        second, fraction = divmod(at_us, US)
        return not fraction and (second + spans.at(second).offset) % DAY_S == self.frees


class Rate(NamedTuple):
    """`never more than N times a UNIT`."""

    number: int
    unit: str

    def check(self, times: FireTimes, tz: str, low_us: int, high_us: int) -> Finding | None:
        """The first periods with too many runs; one that has begun before now counts in full."""
        spans = spans_of(tz)
        found: list[tuple[int, int]] = []
        at = times.next_us(low_us - 1)
        if self.unit == "minute":
            high_us = min(high_us, low_us + MOST_STEPS * 60 * US)
        while at is not None and at < high_us and len(found) <= _NAMED:
            start, end = self._period(spans, at)
            count = times.count_us(start, end)
            if count > self.number:
                found.append((start, count))
            at = times.next_us(max(end - 1, at))
        if not found:
            return None
        texts = [f"{_times(count)} {self._named(spans, start, tz)}" for start, count in found[:_NAMED]]
        more = " and more" if len(found) > _NAMED else ""
        first = (self._first_of(times, start) for start, _ in found[:_NAMED])
        return f"runs {', '.join(texts)}{more}", tuple(first)

    def _first_of(self, times: FireTimes, start_us: int) -> int:
        found = times.next_us(start_us - 1)
        return start_us if found is None else found

    def _period(self, spans: ZoneSpans, at_us: int) -> tuple[int, int]:
        """The instants between which the period of an instant lies."""
        if self.unit in ("minute", "hour"):
            size = 60 if self.unit == "minute" else 3600
            second = at_us // US
            span = spans.at(second)
            start = second - (second + span.offset) % size
            # A repeated hour is two hours, and a clock change in mid-hour cuts it.
            return max(start, span.start) * US, min(start + size, span.end) * US
        day = day_at(spans, at_us)
        first, last = day, day + 1
        if self.unit == "week":
            first = day - (day - _MONDAY) % 7
            last = first + 7
        elif self.unit == "month":
            on = date.fromordinal(day + EPOCH_ORDINAL)
            first = day - on.day + 1
            last = first + month_length(on.year, on.month)
        return _midnight(spans, first), _midnight(spans, last)

    def _named(self, spans: ZoneSpans, start_us: int, tz: str) -> str:
        if self.unit in ("minute", "hour"):
            return f"in the {self.unit} from {local_text(start_us, tz)}"
        day = day_at(spans, start_us)
        if self.unit == "day":
            return f"on {weekday_text(day)}"
        return f"in {date_text(day)[:7]}" if self.unit == "month" else f"in the week of {date_text(day)}"


class Gap(NamedTuple):
    """`at least every DURATION`."""

    span_us: int

    def check(self, times: FireTimes, tz: str, low_us: int, high_us: int) -> Finding | None:
        """The first gap that is too long. The one around now counts from the last run before it.

        A job whose first run is still to come is not late before that.
        """
        at = times.prev_us(low_us + 1)
        if at is None:
            at = times.next_us(low_us)
        if at is None:
            return "never runs", ()
        high_us = min(high_us, at + MOST_STEPS * self.span_us)
        while at < high_us:
            ahead = times.prev_us(at + self.span_us + 1)
            if ahead is None or ahead <= at:
                return self._about(at, times.next_us(at), tz), (at,)
            at = ahead
        return None

    def _about(self, at: int, following: int | None, tz: str) -> str:
        if following is None:
            return f"does not run again after {local_text(at, tz)}"
        size = format_duration((following - at) // US)
        return f"does not run for {size} after {local_text(at, tz)}"


def _midnight(spans: ZoneSpans, day: int) -> int:
    return spans.first_instant(day * DAY_S) * US


def _date(spans: ZoneSpans, at_us: int) -> str:
    return date_text(day_at(spans, at_us))


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
