"""Warnings about a schedule, and notes beside its fire times."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cronq.schedule.schedule import Schedule, ScheduleWarning


def surprises(schedule: Schedule, now_us: int) -> list[ScheduleWarning]:
    """The warnings about a schedule."""
    del schedule, now_us
    return []


def note_at(schedule: Schedule, fire_at_us: int) -> str | None:
    """The note beside a fire time."""
    del schedule, fire_at_us
    return None
