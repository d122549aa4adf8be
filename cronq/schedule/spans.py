"""The spans in which a zone's offset from UTC stays the same.

`zoneinfo` tells the offset of an instant but not when it changes, and asking costs more than all
the rest of a search. Spans are found by probing one year at a time and remembered per zone.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from functools import lru_cache
from typing import NamedTuple

from cronq.schedule.days import FIRST_DAY, LAST_DAY, NEVER
from cronq.schedule.walls import DAY_S

_BLOCK_S = 365 * DAY_S
# Source: the time zone database. Since 1970 no zone changes its offset twice within 6.9 days, so
# probes 6 days apart miss nothing; war-time clocks changed faster, so earlier years take 1 day.
_STEP_S = 6 * DAY_S
_EARLY_STEP_S = DAY_S
_FIRST_S = FIRST_DAY * DAY_S
_LAST_S = LAST_DAY * DAY_S


class Span(NamedTuple):
    """Instants start <= second < end at which wall time = second + offset.

    `before` is the offset just before `start`; where it equals `offset` the clock did not change
    there.
    """

    start: int
    end: int
    offset: int
    before: int


class ZoneSpans:
    """The spans of one zone.

    Args:
        tz: The zone, or None for UTC.
    """

    __slots__ = ("_blocks", "_tz", "at")

    def __init__(self, tz: tzinfo | None) -> None:
        self._tz = tz
        self._blocks: dict[int, tuple[Span, ...]] = {}
        self.at = self._find if tz is not None else _span_of_utc

    def first_instant(self, wall: int) -> int:
        """The instant of a wall time as a fixed-time job sees it (rule 15).

        A repeated wall time is its first instant; a missing one is the first minute after the gap.
        """
        second = wall - 2 * DAY_S
        while True:
            start, end, offset, _ = self.at(second)
            if wall < start + offset:
                return after_gap(start, offset)
            if wall < end + offset:
                return wall - offset
            second = end

    def changes(self, low: int, high: int) -> list[Span]:
        """The spans that begin with a change of the clock in low <= second < high."""
        found = []
        second = low
        while second < high:
            span = self.at(second)
            if span.before != span.offset and low <= span.start < high:
                found.append(span)
            second = span.end
        return found

    def _find(self, second: int) -> Span:
        key = second // _BLOCK_S
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = self._probe(key * _BLOCK_S, (key + 1) * _BLOCK_S)
        place = 0
        while second >= block[place].end:
            place += 1
        return block[place]

    def _probe(self, low: int, high: int) -> tuple[Span, ...]:
        before = offset = self._offset(low - 1)
        spans = []
        start = low
        known = low - 1
        while known < high - 1:
            ahead = min(known + (_STEP_S if low >= 0 else _EARLY_STEP_S), high - 1)
            if self._offset(ahead) != offset:
                change = self._first_change(known, ahead, offset)
                if change > start:
                    spans.append(Span(start, change, offset, before))
                    before = offset
                start = change
                ahead = change
                offset = self._offset(change)
            known = ahead
        spans.append(Span(start, high, offset, before))
        return tuple(spans)

    def _first_change(self, known: int, ahead: int, offset: int) -> int:
        while ahead - known > 1:
            middle = (known + ahead) // 2
            if self._offset(middle) == offset:
                known = middle
            else:
                ahead = middle
        return ahead

    def _offset(self, second: int) -> int:
        second = min(max(second, _FIRST_S), _LAST_S)
        delta = datetime.fromtimestamp(second, self._tz).utcoffset()
        assert delta is not None
        return delta.days * DAY_S + delta.seconds


def after_gap(start: int, offset: int) -> int:
    """The first full minute of the wall clock in a span that begins after a gap."""
    return start + -(start + offset) % 60


# Well inside ±NEVER, so that "no such time" is never inside the span.
_UTC = Span(-NEVER // 2, NEVER // 2, 0, 0)


def _span_of_utc(_second: int) -> Span:
    return _UTC


@lru_cache(maxsize=1024)
def spans_of(key: str) -> ZoneSpans:
    """The spans of the zone with this IANA key.

    Raises:
        TimezoneError: There is no such zone.
    """
    if key == "UTC":
        return ZoneSpans(None)
    from cronq.schedule.zones import zone

    return ZoneSpans(zone(key))
