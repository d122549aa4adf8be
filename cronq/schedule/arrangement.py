"""All that a job's texts say about its fire times, put together once.

::

    schedule text ─▶ Schedule ─▶ Shifted (calendars) ─▶ Bounded (from, until) ─▶ Arrangement
                                                                              what the planner asks

Bounds come last, so that no calendar moves a run out of them. A layer that has nothing to do is left
out: the methods of an arrangement are those of its outermost layer, at no cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from cronq.schedule.firetimes import FireTimes
from cronq.schedule.parse import parse
from cronq.schedule.schedule import Schedule, ScheduleWarning, datetime_from_us, us_from_datetime
from cronq.schedule.walls import DAY_US

if TYPE_CHECKING:
    from cronq.schedule.bounds import Bounds
    from cronq.schedule.calendar_uses import CalendarUse
    from cronq.schedule.calendars import Calendar
    from cronq.schedule.shift import Shifted

_NO_CALENDARS: Mapping[str, Calendar] = {}


class Arrangement:
    """The fire times of a job: its schedule under its calendars, within its bounds.

    Attributes:
        schedule: The schedule alone.
        bounds: Its bounds, in normal form, or None.
        uses: Its calendars and their rules.
        next_us: The first fire time after an instant, as in `FireTimes`; so are the three that follow.
    """

    __slots__ = ("_shifted", "bounds", "count_us", "iter_us", "next_us", "prev_us", "schedule", "uses")

    schedule: Schedule
    bounds: Bounds | None
    uses: tuple[CalendarUse, ...]
    next_us: Callable[[int], int | None]
    prev_us: Callable[[int], int | None]
    iter_us: Callable[[int, int], Iterator[int]]
    count_us: Callable[[int, int], int]

    def __init__(self, schedule: Schedule, bounds: Bounds | None, uses: tuple[CalendarUse, ...]) -> None:
        self.schedule = schedule
        self.bounds = bounds
        self.uses = uses
        self._shifted: Shifted | None = None
        times: FireTimes = schedule
        if uses:
            from cronq.schedule.shift import Shifted

            times = self._shifted = Shifted(times, uses, schedule.tz)
        if bounds is not None:
            from cronq.schedule.bounds import Bounded

            times = Bounded(times, bounds)
        self.next_us, self.prev_us = times.next_us, times.prev_us
        self.iter_us, self.count_us = times.iter_us, times.count_us

    def __repr__(self) -> str:
        uses = [use.text for use in self.uses]
        return f"Arrangement({self.schedule!r}, bounds={self.bounds!r}, calendars={uses!r})"

    @property
    def at_startup(self) -> bool:
        """Whether a start of the scheduler is a fire time too (`@reboot`)."""
        return self.schedule.at_startup

    def next(self, after: datetime) -> datetime | None:
        """The first fire time after an instant in UTC, or None when there is none within 50 years."""
        found = self.next_us(us_from_datetime(after))
        return None if found is None else datetime_from_us(found)

    def prev(self, before: datetime) -> datetime | None:
        """The last fire time before an instant in UTC, or None when there is none within 50 years."""
        found = self.prev_us(us_from_datetime(before))
        return None if found is None else datetime_from_us(found)

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The fire times in start <= fire time < end in UTC, ascending, streamed."""
        return map(datetime_from_us, self.iter_us(us_from_datetime(start), us_from_datetime(end)))

    def warnings(self, now: datetime) -> list[ScheduleWarning]:
        """The schedule's warnings that matter within the bounds, and whether anything is left to run.

        Args:
            now: An aware datetime from which "next" counts.
        """
        found = self.schedule.warnings(now)
        now_us = us_from_datetime(now)
        if self.bounds is not None:
            found = [warning for warning in found if self._is_inside(warning)]
        if self.next_us(now_us) is None and self.schedule.next_us(now_us) is not None:
            found.insert(0, ScheduleWarning(self._about_nothing(now_us)))
        return found

    def _is_inside(self, warning: ScheduleWarning) -> bool:
        if warning.date is None or self.bounds is None:
            return True
        day_us = us_from_datetime(datetime.fromisoformat(warning.date + "T00:00+00:00"))
        # A day is wherever a zone can put it.
        return self.bounds.low_us - 2 * DAY_US < day_us < self.bounds.high_us + 2 * DAY_US

    def _about_nothing(self, now_us: int) -> str:
        if self._shifted is not None and self._shifted.next_us(now_us) is None:
            return "its calendars leave no fire time within 50 years"
        return "no fire time is left within its bounds"

    def notes_at(self, fire_at: datetime) -> str | None:
        """What to write beside a fire time that a calendar or a clock change moved, or None.

        Such as `moved from Mon 2027-05-31 (us-holidays: Memorial Day)` or `moved from 02:30 (clock change)`.
        """
        moved = None if self._shifted is None else self._shifted.note_at(us_from_datetime(fire_at))
        if moved is not None and moved.startswith("moved"):
            # The schedule itself names no fire time here.
            return moved
        changed = self.schedule.notes_at(fire_at)
        return "; ".join(note for note in (changed, moved) if note is not None) or None


def arrange(
    text: str,
    *,
    tz: str = "UTC",
    name: str = "",
    dst: str = "cron",
    start: str | None = None,
    until: str | None = None,
    calendars: Iterable[str] = (),
    known: Mapping[str, Calendar] = _NO_CALENDARS,
    now: datetime | None = None,
) -> Arrangement:
    """The fire times that a job's texts name, remembered by them.

    Args:
        text: The schedule, see `parse`.
        tz: The IANA key of the job's zone.
        name: The job's name, which places `H`.
        dst: `cron`, `skip` or `both`.
        start: `--from`: a date or an instant. Store `bounds.start` of the result.
        until: `--until`, likewise.
        calendars: Uses such as `us-holidays:skip`. Store the `text` of each of the result's `uses`.
        known: The defined calendars by name; `us-holidays` and its like need no definition.
        now: From which relative texts count; without it, as for stored texts, such bounds are refused.

    Raises:
        ScheduleError: A text cannot be read or names nothing; points at the place.
        InstantError: A bound is no date and no instant. TimezoneError: There is no such zone.
    """
    schedule = parse(text, tz=tz, name=name, dst=dst, now=now)
    bounds: Bounds | None = None
    uses: tuple[CalendarUse, ...] = ()
    if start or until:
        from cronq.schedule.bounds import read_bounds

        now_us = None if now is None else us_from_datetime(now)
        bounds = read_bounds(start, until, tz=tz, now_us=now_us)
    if calendars:
        from cronq.schedule.calendar_uses import read_uses

        uses = read_uses(calendars, known)
    return _arranged(schedule, bounds, uses)


@lru_cache(maxsize=4096)
def _arranged(schedule: Schedule, bounds: Bounds | None, uses: tuple[CalendarUse, ...]) -> Arrangement:
    return Arrangement(schedule, bounds, uses)


def forget() -> None:
    """Empty the cache: an arrangement holds the zone of its schedule."""
    _arranged.cache_clear()
