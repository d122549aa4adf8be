"""Which days a set of calendars closes, and where their fire times go: blocks of days, worked out once.

A block is a stretch of days that no fire time leaves or enters when it is moved, so that each block
can be searched alone::

       Fri  Sat  Sun  Mon* Tue* Wed  Thu        * in a calendar, rule `next`
    ─┤ own  own  own            own  own ├─     own: fire times stay
                      └────┴────▶               moved: the same wall time on Wednesday

Knows days, zones and calendars; of fire times only that they are instants.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import NamedTuple

from cronq.schedule.calendar_uses import CalendarUse
from cronq.schedule.calendars import FIRST_CALENDAR_DAY, LAST_CALENDAR_DAY
from cronq.schedule.days import HORIZON_YEARS
from cronq.schedule.spans import ZoneSpans
from cronq.schedule.stretches import day_at, instants_of, landings
from cronq.schedule.walls import DAY_S, US

_LENGTH = 28
_KEPT = 32
_FARTHEST = HORIZON_YEARS * 366
"""Days that a fire time is moved at most; with no business day so near it is dropped (rule 13)."""


class Closed(NamedTuple):
    """A day that a calendar holds: what becomes of its fire times, and why."""

    day: int
    rule: str
    reason: str


class Move(NamedTuple):
    """Fire times in low <= fire time < high go to `fire time + shift`, or all of them to `at`."""

    low: int
    high: int
    shift: int
    at: int | None
    closed: Closed

    def land(self, fire_at_us: int) -> int:
        """Where one of them goes."""
        return fire_at_us + self.shift if self.at is None else self.at

    @property
    def target(self) -> tuple[int, int]:
        """The instants low <= instant < high at which they land."""
        return (self.low + self.shift, self.high + self.shift) if self.at is None else (self.at, self.at + 1)


class Block(NamedTuple):
    """A stretch of days.

    Attributes:
        low: Its first instant, in microseconds.
        high: The first instant after it.
        own: Stretches of instants in which fire times stay, ascending.
        moves: What happens to the others; those in no move are dropped.
    """

    low: int
    high: int
    own: tuple[tuple[int, int], ...]
    moves: tuple[Move, ...]


class Blocks:
    """The blocks of some calendars in a zone.

    Args:
        uses: The calendars, at least one.
        spans: The zone.
    """

    __slots__ = ("_has_next", "_has_previous", "_kept", "_spans", "_uses")

    def __init__(self, uses: tuple[CalendarUse, ...], spans: ZoneSpans) -> None:
        self._uses = uses
        self._spans = spans
        rules = {use.rule for use in uses}
        self._has_next = "next" in rules
        self._has_previous = "previous" in rules
        self._kept: list[Block] = []

    def at(self, at_us: int) -> Block:
        """The block that holds an instant."""
        for block in self._kept:
            if block.low <= at_us < block.high:
                return block
        day = day_at(self._spans, at_us)
        low = self._cut(day, -1)
        block = self._build(low, self._cut(max(day + 1, low + _LENGTH), 1))
        self._kept = [block, *self._kept[: _KEPT - 1]]
        return block

    def _cut(self, day: int, step: int) -> int:
        """The nearest day from `day` on that can begin a block, forwards or backwards.

        Ends, since calendars hold no date outside of 1970 to 2199.
        """
        while not self._is_cut(day):
            day += step
        return day

    def _is_cut(self, day: int) -> bool:
        """Whether no fire time is moved across the beginning of a day, and no clock changes near it."""
        if self._has_next and not self._is_business(day - 1):
            return False
        if self._has_previous and not self._is_business(day):
            return False
        midnight = self._spans.first_instant(day * DAY_S)
        # A clock that goes back over midnight would give a day two beginnings.
        return self._spans.at(midnight - DAY_S).end > midnight + DAY_S or self._is_steady(midnight)

    def _is_steady(self, midnight: int) -> bool:
        # Spans also end where nothing changes.
        low, high = midnight - DAY_S, midnight + DAY_S
        return not self._spans.changes(low, high + 1)

    def _is_business(self, day: int) -> bool:
        # 1970-01-01 was a Thursday.
        if (day + 3) % 7 > 4:
            return False
        if not FIRST_CALENDAR_DAY <= day <= LAST_CALENDAR_DAY:
            return True
        return all(use.calendar.label(day) is None for use in self._uses)

    def _closed(self, low: int, high: int) -> list[Closed]:
        """The days of a stretch that calendars hold; `skip` wins, then the calendar named first."""
        rules: dict[int, str] = {}
        reasons: dict[int, list[str]] = {}
        for use in self._uses:
            for day in use.calendar.days(low, high):
                if use.rule == "skip" or day not in rules:
                    rules[day] = use.rule
                label = use.calendar.label(day)
                name = use.calendar.name
                reasons.setdefault(day, []).append(f"{name}: {label}" if label else name)
        return [Closed(day, rules[day], "; ".join(reasons[day])) for day in sorted(rules)]

    def _build(self, low: int, high: int) -> Block:
        closed = self._closed(low, high)
        moves: list[Move] = []
        if self._has_next or self._has_previous:
            held = {day.day for day in closed}
            business = [day for day in range(low, high) if (day + 3) % 7 < 5 and day not in held]
            for day in closed:
                target = _target(day, business)
                if target is not None:
                    moves.extend(self._moves(day, target))
        own: list[tuple[int, int]] = []
        first = low
        for edge in [*(day.day for day in closed), high]:
            if first < edge:
                own.extend(instants_of(self._spans, first * DAY_S, edge * DAY_S))
            first = edge + 1
        start, end = (self._spans.first_instant(day * DAY_S) * US for day in (low, high))
        return Block(start, end, tuple(sorted(own)), tuple(moves))

    def _moves(self, closed: Closed, target: int) -> list[Move]:
        """The moves of one day's fire times to another day: one, or more where clocks change."""
        found = []
        days = (target - closed.day) * DAY_S
        opens, ends = closed.day * DAY_S, (closed.day + 1) * DAY_S
        for low_us, high_us in instants_of(self._spans, opens, ends):
            second = low_us // US
            while second < high_us // US:
                span = self._spans.at(second)
                last = min(span.end, high_us // US)
                for landing in landings(self._spans, second + span.offset + days, last + span.offset + days):
                    first_us = (landing.low - days - span.offset) * US
                    last_us = (landing.high - days - span.offset) * US
                    at = None if landing.at is None else landing.at * US
                    shift = (days + span.offset - landing.offset) * US
                    found.append(Move(first_us, last_us, shift, at, closed))
                second = last
        return found


def _target(closed: Closed, business: list[int]) -> int | None:
    """The business day to which the fire times of a day go, or None: they are dropped."""
    if closed.rule == "next":
        place = bisect_right(business, closed.day)
        target = business[place] if place < len(business) else None
    elif closed.rule == "previous":
        place = bisect_left(business, closed.day)
        target = business[place - 1] if place else None
    else:
        target = None
    return target if target is not None and abs(target - closed.day) <= _FARTHEST else None
