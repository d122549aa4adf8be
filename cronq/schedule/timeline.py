"""From wall times to instants: Debian cron's rule for clock changes, and its two alternatives.

::

    wall times        span k (offset o1)        │ span k+1 (offset o2)
    ordinary          one instant               │
    repeated (o2<o1)  first instant here        │ second instant here: only if `repeats`
    missing  (o2>o1)                            │ the first minute here: only if `moves`

Instants are integers: seconds inside, microseconds at the border. Datetimes of one zone compare
by wall clock and lose `fold` in arithmetic, so none takes part.

Source: cron(8) of Debian, schedules.md rules 14 to 16.
"""

from __future__ import annotations

from collections.abc import Iterator

from cronq.schedule.days import FIRST_DAY, HORIZON_YEARS, LAST_DAY, NEVER
from cronq.schedule.spans import Span, ZoneSpans, after_gap
from cronq.schedule.walls import DAY_S, US, Chunk, Walls

# Clocks are never set by more than a day and two hours at once, so two days apart is far apart.
_FAR_S = 2 * DAY_S
_FIRST_S = (FIRST_DAY + 1) * DAY_S
_LAST_S = LAST_DAY * DAY_S
_HORIZON_S = (HORIZON_YEARS + 1) * 366 * DAY_S


class Timeline:
    """The fire times of one set of wall times in one zone.

    Args:
        walls: The wall times.
        spans: The zone.
        repeats: A repeated wall time fires at both of its instants.
        moves: A missing wall time fires at the first minute after the gap.
    """

    __slots__ = ("_moves", "_recent", "_repeats", "_spans", "walls")

    def __init__(self, walls: Walls, spans: ZoneSpans, *, repeats: bool, moves: bool) -> None:
        self.walls = walls
        self._spans = spans
        self._repeats = repeats
        self._moves = moves
        # The span of the last search: most searches start where the one before did.
        self._recent = spans.at(0)

    def next_us(self, after_us: int) -> int | None:
        """The first fire time after an instant, or None when there is none within 50 years."""
        second = after_us // US + 1
        final = second + _HORIZON_S
        walls = self.walls
        while second < final:
            start, end, offset, before = self._recent
            if not start <= second < end:
                start, end, offset, before = self._recent = self._spans.at(second)
            low = second + offset
            if offset != before and second <= start + _FAR_S:
                if offset < before:
                    if not self._repeats and low < start + before:
                        low = start + before
                elif (
                    self._moves
                    and second < start + 60
                    and (moved := self._moved(start, offset, before)) >= second
                ):
                    return min(moved, walls.first(low) - offset) * US
            found = walls.first(low) - offset
            if found < end:
                return found * US
            # Between `low` and what was found no wall time is a member, so all spans between are
            # empty too, unless one starts so soon that its clock goes back to before `low`.
            near = end + offset - low < _FAR_S
            second = end if near else max(end, found - _FAR_S)
        return None

    def prev_us(self, before_us: int) -> int | None:
        """The last fire time before an instant, or None when there is none within 50 years."""
        second = (before_us - 1) // US
        final = second - _HORIZON_S
        walls = self.walls
        while second > final:
            start, _, offset, before = self._spans.at(second)
            found = walls.last(second + offset) - offset
            opens = start
            if offset < before and not self._repeats:
                opens = start + before - offset
            elif offset > before and self._moves and found < start + 60:
                moved = self._moved(start, offset, before)
                # Nothing found and nothing moved are both about -NEVER, and neither is an instant.
                if found < moved <= second and moved > -NEVER:
                    return moved * US
            if found >= opens:
                return found * US
            near = second - start < _FAR_S
            second = start - 1 if near else min(start - 1, found + _FAR_S)
        return None

    def chunks(self, start_us: int, end_us: int) -> Iterator[Chunk]:
        """The fire times in start <= fire time < end, ascending, as (base, offsets) in µs."""
        second, stop = _seconds(start_us, end_us)
        while second < stop:
            span = self._spans.at(second)
            high = min(span.end, stop)
            low, moved = self._opening(span, second)
            if moved is not None and second <= moved < high:
                yield from self._shifted(low, moved, span.offset)
                yield moved * US, (0,)
                low = moved + 1
            found = self.walls.first(low + span.offset) - span.offset
            if found < high:
                yield from self._shifted(low, high, span.offset)
            is_far = found >= span.end and span.end - low >= _FAR_S
            second = max(span.end, found - _FAR_S) if is_far else span.end

    def count_us(self, start_us: int, end_us: int) -> int:
        """How many fire times are in start <= fire time < end."""
        second, stop = _seconds(start_us, end_us)
        total = 0
        while second < stop:
            span = self._spans.at(second)
            high = min(span.end, stop)
            low, moved = self._opening(span, second)
            total += self.walls.count(low + span.offset, high + span.offset)
            if moved is not None and second <= moved < high:
                total += self.walls.first(moved + span.offset) != moved + span.offset
            second = span.end
        return total

    @property
    def rule(self) -> tuple[bool, bool]:
        """Whether repeated times fire twice, and whether missing ones are moved."""
        return self._repeats, self._moves

    def after_gap(self, span: Span) -> int:
        """The wall time at which missing times fire, in a span that begins after a gap."""
        return after_gap(span.start, span.offset) + span.offset

    def moved_walls(self, span: Span) -> tuple[int, int] | None:
        """The first and last member that the gap before a span swallows, or None."""
        low, high = span.start + span.before, span.start + span.offset
        first = self.walls.first(low)
        return (first, self.walls.last(high - 1)) if first < high else None

    def _moved(self, start: int, offset: int, before: int) -> int:
        """The instant at which missing members fire, or `-NEVER` when the gap holds none."""
        if self.walls.first(start + before) < start + offset:
            return after_gap(start, offset)
        return -NEVER

    def _opening(self, span: Span, second: int) -> tuple[int, int | None]:
        start, _, offset, before = span
        if offset < before and not self._repeats:
            return max(second, start + before - offset), None
        if offset > before and self._moves:
            moved = self._moved(start, offset, before)
            return second, moved if moved > -NEVER else None
        return second, None

    def _shifted(self, low: int, high: int, offset: int) -> Iterator[Chunk]:
        shift = offset * US
        for base, offsets in self.walls.chunks(low + offset, high + offset):
            yield base - shift, offsets


def _seconds(start_us: int, end_us: int) -> tuple[int, int]:
    """The same half-open range in whole seconds, inside the calendar."""
    return max(-(-start_us // US), _FIRST_S), min(-(-end_us // US), _LAST_S)
