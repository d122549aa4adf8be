"""Stretches of wall time as stretches of instants: what a zone does to "that day from 2 to 4"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cronq.schedule.spans import ZoneSpans, after_gap
from cronq.schedule.walls import DAY_S, US

# Farther than any clock is ever from UTC, and than it is ever set at once.
_FAR_S = 2 * DAY_S


def day_at(spans: ZoneSpans, at_us: int) -> int:
    """The day number that a zone's calendar shows at an instant."""
    second = at_us // US
    return (second + spans.at(second).offset) // DAY_S


def instants_of(spans: ZoneSpans, low: int, high: int) -> Iterator[tuple[int, int]]:
    """The instants at which the clock shows low <= wall < high: half-open, in microseconds, ascending.

    One stretch as a rule; none in a gap, two where the clock goes back over an edge.
    """
    start: int | None = None
    end = 0
    for left, right, offset in _spans_around(spans, low, high):
        first, last = max(left, low - offset), min(right, high - offset)
        if first >= last:
            continue
        if start is not None and first == end:
            end = last
            continue
        if start is not None:
            yield start * US, end * US
        start, end = first, last
    if start is not None:
        yield start * US, end * US


def _spans_around(spans: ZoneSpans, low: int, high: int) -> Iterator[tuple[int, int, int]]:
    second = low - _FAR_S
    while second < high + _FAR_S:
        start, end, offset, _ = spans.at(second)
        yield start, end, offset
        second = end


class Landing(NamedTuple):
    """Wall times low <= wall < high and their instants: `wall - offset`, or all of them `at`."""

    low: int
    high: int
    offset: int
    at: int | None


def landings(spans: ZoneSpans, low: int, high: int) -> Iterator[Landing]:
    """Where the wall times low <= wall < high land as fixed times (rule 15), ascending.

    A repeated wall time is its first instant; missing ones are the first minute after the gap.
    """
    second = low - _FAR_S
    while low < high:
        start, end, offset, _ = spans.at(second)
        if low < min(high, start + offset):
            yield Landing(low, min(high, start + offset), 0, after_gap(start, offset))
            low = min(high, start + offset)
        if low < min(high, end + offset):
            yield Landing(low, min(high, end + offset), offset, None)
            low = min(high, end + offset)
        second = end
