"""From a job's definition to what planning asks for: its fire times, and where its starts are put."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from cronq.model import Definition, Job, Micros
from cronq.plan import Hold, Placement
from cronq.schedule import parse

if TYPE_CHECKING:
    from cronq.schedule.arrangement import Arrangement
    from cronq.schedule.blackout import Blackouts
    from cronq.schedule.calendars import Calendar
    from cronq.schedule.placement import Jitter
    from cronq.schedule.schedule import Schedule

_NO_CALENDARS: Mapping[str, str] = {}


def times_of(job: Job, calendars: Mapping[str, str] = _NO_CALENDARS) -> Schedule | Arrangement:
    """Return the fire times of a stored job.

    Args:
        job: As stored: all its texts are absolute.
        calendars: The named calendars, as `Store.calendars` gives them.

    Raises:
        ScheduleError: A text cannot be read, or a calendar is not known.
        TimezoneError: Its zone is gone from the zone data.
    """
    return fire_times(job.definition, job.name, calendars)


def calendar_names(definition: Definition) -> set[str]:
    """Return the calendars that a definition uses, without the rules for their dates."""
    return {use.rpartition(":")[0] for use in definition.calendars}


def fire_times(
    definition: Definition,
    name: str,
    calendars: Mapping[str, str] = _NO_CALENDARS,
    now: datetime | None = None,
) -> Schedule | Arrangement:
    """Return the fire times of a definition; `now` resolves relative texts that were just typed."""
    d = definition
    if not (d.calendars or d.valid_from or d.valid_until):
        return parse(d.schedule, tz=d.tz, name=name, dst=d.dst, now=now)
    from cronq.schedule.arrangement import arrange

    return arrange(
        d.schedule,
        tz=d.tz,
        name=name,
        dst=d.dst,
        start=d.valid_from,
        until=d.valid_until,
        calendars=d.calendars,
        known={key: read_calendar(key, text) for key, text in calendars.items()} if d.calendars else {},
        now=now,
    )


@lru_cache(maxsize=256)
def read_calendar(name: str, text: str) -> Calendar:
    """Return a stored calendar; remembered by its text. Raises: ScheduleError."""
    from cronq.schedule.calendars import calendar_from_text

    return calendar_from_text(name, text)


def placement_of(job: Job) -> Placement | None:
    """Return where a job's starts are put; None if it has neither jitter nor blackouts.

    Raises:
        ScheduleError: A text cannot be read.
        TimezoneError: Its zone is gone from the zone data.
    """
    definition = job.definition
    if definition.jitter is None and not definition.blackouts:
        return None
    return _placement(job.name, definition.jitter, definition.blackouts, definition.tz)


@lru_cache(maxsize=4096)
def _placement(name: str, jitter: str | None, blackouts: tuple[str, ...], tz: str) -> Placement:
    from cronq.schedule.blackout import read_blackouts
    from cronq.schedule.placement import parse_jitter

    return _Placement(
        name,
        None if jitter is None else parse_jitter(jitter),
        read_blackouts(blackouts, tz) if blackouts else None,
    )


def forget_zone_data() -> None:
    """Empty all that rests on the zone data, so that those which lie there now are read."""
    from cronq.schedule import arrangement, blackout, spans, surprises, zones
    from cronq.schedule.parse import forget

    zones.forget()
    spans.spans_of.cache_clear()
    forget()
    arrangement.forget()
    blackout.read_blackouts.cache_clear()
    surprises.forget()
    _placement.cache_clear()


class _Placement:
    """`cronq.plan.Placement` from a definition's texts."""

    def __init__(self, name: str, jitter: Jitter | None, blackouts: Blackouts | None) -> None:
        self._name = name
        self._jitter = jitter
        self._blackouts = blackouts

    def delay_us(self, fire_at: Micros) -> Micros:
        """Return the jitter of a fire time."""
        if self._jitter is None:
            return 0
        from cronq.schedule.placement import delay_us

        return delay_us(self._jitter, self._name, fire_at)

    def hold(self, at: Micros) -> Hold | None:
        """Return the blackout that covers an instant."""
        found = None if self._blackouts is None else self._blackouts.at(at)
        return None if found is None else Hold(found.ends_us, found.policy == "drop", found.text)
