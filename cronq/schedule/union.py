"""Parts that are not one set of wall times: instants, start-ups and unions."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge

from cronq.schedule.schedule import Part
from cronq.schedule.walls import Chunk


class Instants:
    """Fixed instants, ascending; none for `@reboot`, whose fire times no clock names."""

    __slots__ = ("_at_us",)

    def __init__(self, *at_us: int) -> None:
        self._at_us = at_us

    def next_us(self, after_us: int) -> int | None:
        """The first instant after another."""
        return next((at for at in self._at_us if at > after_us), None)

    def prev_us(self, before_us: int) -> int | None:
        """The last instant before another."""
        return next((at for at in reversed(self._at_us) if at < before_us), None)

    def chunks(self, start_us: int, end_us: int) -> Iterator[Chunk]:
        """The instants in start <= instant < end."""
        for at in self._at_us:
            if start_us <= at < end_us:
                yield at, (0,)

    def count_us(self, start_us: int, end_us: int) -> int:
        """How many instants are in start <= instant < end."""
        return sum(start_us <= at < end_us for at in self._at_us)


class Union:
    """Several parts as one; a fire time that two of them name is one."""

    __slots__ = ("_parts",)

    def __init__(self, parts: list[Part]) -> None:
        self._parts = tuple(parts)

    def next_us(self, after_us: int) -> int | None:
        """The first fire time after an instant."""
        return min((at for part in self._parts if (at := part.next_us(after_us)) is not None), default=None)

    def prev_us(self, before_us: int) -> int | None:
        """The last fire time before an instant."""
        return max((at for part in self._parts if (at := part.prev_us(before_us)) is not None), default=None)

    def chunks(self, start_us: int, end_us: int) -> Iterator[Chunk]:
        """The fire times in start <= fire time < end, ascending."""
        latest = None
        for at in merge(*(_flat(part.chunks(start_us, end_us)) for part in self._parts)):
            if at != latest:
                latest = at
                yield at, (0,)

    def count_us(self, start_us: int, end_us: int) -> int:
        """How many fire times are in start <= fire time < end; those named twice count once."""
        return sum(1 for _ in self.chunks(start_us, end_us))


def _flat(chunks: Iterator[Chunk]) -> Iterator[int]:
    for base, offsets in chunks:
        for offset in offsets:
            yield base + offset
