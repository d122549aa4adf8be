"""Fire times under calendars: dropped, or moved to a business day.

A fire time whose local date is in a calendar is dropped (`skip`) or moved to the same wall time on
the next or previous business day: Monday to Friday, and in none of the job's calendars. Two that
land on one instant are one. A moved wall time that is missing or repeated there is treated as a
fixed time (rule 15), whatever the job's policy says: a calendar moves runs and loses none.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import chain

from cronq.schedule.blocks import Block, Blocks, Closed, Move
from cronq.schedule.calendar_uses import CalendarUse
from cronq.schedule.calendars import weekday_text
from cronq.schedule.days import FIRST_DAY, LAST_DAY
from cronq.schedule.firetimes import HORIZON_US, FireTimes
from cronq.schedule.spans import spans_of
from cronq.schedule.walls import DAY_US

_FIRST_US, _LAST_US = (FIRST_DAY + 60) * DAY_US, (LAST_DAY - 60) * DAY_US
_SHOWN = 3


class Shifted:
    """The fire times of another set, under calendars.

    Args:
        times: The other set.
        uses: The calendars and their rules; a day in several of them follows the first, but `skip` wins.
        tz: The zone whose dates count.
    """

    __slots__ = ("_blocks", "_times")

    def __init__(self, times: FireTimes, uses: tuple[CalendarUse, ...], tz: str) -> None:
        self._times = times
        self._blocks = Blocks(uses, spans_of(tz))

    def next_us(self, after_us: int) -> int | None:
        """The first fire time after an instant, or None when there is none within 50 years."""
        final = min(after_us + HORIZON_US, _LAST_US)
        at: int | None = max(after_us + 1, _FIRST_US)
        while at is not None and at < final:
            block = self._blocks.at(at)
            found = self._next_in(block, after_us)
            if found is not None:
                return found if found < final else None
            at = self._times.next_us(block.high - 1)
        return None

    def prev_us(self, before_us: int) -> int | None:
        """The last fire time before an instant, or None when there is none within 50 years."""
        final = max(before_us - HORIZON_US, _FIRST_US)
        at: int | None = min(before_us - 1, _LAST_US)
        while at is not None and at > final:
            block = self._blocks.at(at)
            found = self._prev_in(block, before_us)
            if found is not None:
                return found if found > final else None
            at = self._times.prev_us(block.low)
        return None

    def iter_us(self, start_us: int, end_us: int) -> Iterator[int]:
        """The fire times in start <= fire time < end, ascending, streamed."""
        for block, first, last in self._in_use(start_us, end_us):
            if block.moves:
                yield from self._merged(block, first, last)
                continue
            for low, high in block.own:
                if low < last and high > first:
                    yield from self._times.iter_us(max(low, first), min(high, last))

    def count_us(self, start_us: int, end_us: int) -> int:
        """How many fire times are in start <= fire time < end."""
        total = 0
        for block, first, last in self._in_use(start_us, end_us):
            for low, high in block.own:
                total += self._count(max(low, first), min(high, last))
            for moves in _by_target(block.moves):
                total += self._added(block, moves, first, last)
        return total

    def note_at(self, fire_at_us: int) -> str | None:
        """What to write beside a fire time that a calendar moved, or None.

        Such as `moved from Mon 2027-05-31 (us-holidays: Memorial Day)`.
        """
        if not _FIRST_US < fire_at_us < _LAST_US:
            return None
        block = self._blocks.at(fire_at_us)
        sources = [move.closed for move in block.moves if self._is_from(move, fire_at_us)]
        if not sources:
            return None
        is_own = any(low <= fire_at_us < high for low, high in block.own)
        is_own = is_own and self._times.next_us(fire_at_us - 1) == fire_at_us
        return ("also for " if is_own else "moved from ") + _named(list(dict.fromkeys(sources)))

    def _next_in(self, block: Block, after_us: int) -> int | None:
        best: int | None = None
        for low, high in block.own:
            if high > after_us + 1:
                found = self._times.next_us(max(after_us, low - 1))
                if found is not None and found < high:
                    best = found
                    break
        for move in block.moves:
            if move.at is None:
                found = self._times.next_us(max(after_us - move.shift, move.low - 1))
            else:
                found = self._times.next_us(move.low - 1) if move.at > after_us else None
            if found is not None and found < move.high:
                landed = move.land(found)
                best = landed if best is None else min(best, landed)
        return best

    def _prev_in(self, block: Block, before_us: int) -> int | None:
        best: int | None = None
        for low, high in reversed(block.own):
            if low < before_us:
                found = self._times.prev_us(min(before_us, high))
                if found is not None and found >= low:
                    best = found
                    break
        for move in block.moves:
            if move.at is None:
                found = self._times.prev_us(min(before_us - move.shift, move.high))
            else:
                found = self._times.prev_us(move.high) if move.at < before_us else None
            if found is not None and found >= move.low:
                landed = move.land(found)
                best = landed if best is None else max(best, landed)
        return best

    def _in_use(self, start_us: int, end_us: int) -> Iterator[tuple[Block, int, int]]:
        """The blocks between two instants that can hold fire times, each with the part that is wanted."""
        low = max(start_us, _FIRST_US)
        end_us = min(end_us, _LAST_US)
        at: int | None = low
        while at is not None and low < end_us:
            # Asked even when `at` is too late: its block may move it to before the end.
            block = self._blocks.at(min(at, _LAST_US))
            yield block, low, min(block.high, end_us)
            # A block met earlier may begin before this one ends: what was yielded is not wanted again.
            low = block.high
            at = self._times.next_us(low - 1)

    def _merged(self, block: Block, start_us: int, end_us: int) -> Iterator[int]:
        own = chain.from_iterable(
            self._times.iter_us(max(low, start_us), min(high, end_us))
            for low, high in block.own
            if low < end_us and high > start_us
        )
        moved = (self._moved(move, start_us, end_us) for move in block.moves)
        latest: int | None = None
        for at in merge(own, *moved):
            if at != latest:
                latest = at
                yield at

    def _moved(self, move: Move, start_us: int, end_us: int) -> Iterator[int]:
        if move.at is not None:
            found = self._times.next_us(move.low - 1) if start_us <= move.at < end_us else None
            if found is not None and found < move.high:
                yield move.at
            return
        low, high = max(move.low, start_us - move.shift), min(move.high, end_us - move.shift)
        if low < high:
            for at in self._times.iter_us(low, high):
                yield at + move.shift

    def _count(self, low: int, high: int) -> int:
        return self._times.count_us(low, high) if low < high else 0

    def _added(self, block: Block, moves: list[Move], start_us: int, end_us: int) -> int:
        """How many fire times the moves add to those that the same instants had."""
        low = max(start_us, min(move.target[0] for move in moves))
        high = min(end_us, max(move.target[1] for move in moves))
        stay: set[int] = set()
        for first, last in block.own:
            if first < high and last > low:
                stay.update(self._times.iter_us(max(first, low), min(last, high)))
        return len(set(chain.from_iterable(self._moved(move, low, high) for move in moves)) - stay)

    def _is_from(self, move: Move, fire_at_us: int) -> bool:
        if move.at is None:
            source = fire_at_us - move.shift
            return move.low <= source < move.high and self._times.next_us(source - 1) == source
        found = self._times.next_us(move.low - 1) if move.at == fire_at_us else None
        return found is not None and found < move.high


def _by_target(moves: tuple[Move, ...]) -> list[list[Move]]:
    """The moves in groups whose targets do not overlap."""
    groups: list[list[Move]] = []
    end = None
    for move in sorted(moves, key=lambda move: move.target):
        low, high = move.target
        if end is not None and low < end:
            groups[-1].append(move)
            end = max(end, high)
        else:
            groups.append([move])
            end = high
    return groups


def _named(sources: list[Closed]) -> str:
    texts = [f"{weekday_text(closed.day)} ({closed.reason})" for closed in sources[:_SHOWN]]
    if len(sources) > _SHOWN:
        texts.append(f"{len(sources) - _SHOWN} more days")
    return ", ".join(texts)
