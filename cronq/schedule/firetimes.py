"""What every layer around a schedule takes and gives: a set of instants, searched both ways.

The laws that each implementation keeps: fire times strictly increase; where a search starts changes
nothing; `prev_us` is the mirror of `next_us`; `iter_us` is iterated `next_us`, and `count_us` counts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from cronq.schedule.days import HORIZON_YEARS
from cronq.schedule.walls import DAY_US

HORIZON_US = (HORIZON_YEARS + 1) * 366 * DAY_US
"""A search that has gone so far without a fire time ends (rule 13)."""


class FireTimes(Protocol):
    """A set of fire times; instants are microseconds since the epoch."""

    def next_us(self, after_us: int) -> int | None:
        """The first fire time after an instant, or None when there is none within 50 years."""

    def prev_us(self, before_us: int) -> int | None:
        """The last fire time before an instant, or None when there is none within 50 years."""

    def iter_us(self, start_us: int, end_us: int) -> Iterator[int]:
        """The fire times in start <= fire time < end, ascending, streamed."""

    def count_us(self, start_us: int, end_us: int) -> int:
        """How many fire times are in start <= fire time < end."""
