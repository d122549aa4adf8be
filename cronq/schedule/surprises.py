"""Warnings about a schedule, and notes beside its fire times.

Rule 13 (legal, but may surprise) and rule 17 (what a clock change moved). Nothing here changes a
fire time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from cronq.schedule.cron import CronSyntax
from cronq.schedule.parse import read, timeline_of, walls_of
from cronq.schedule.schedule import ScheduleWarning
from cronq.schedule.spans import Span, spans_of
from cronq.schedule.syntax import AtSyntax, StartupSyntax
from cronq.schedule.timeline import Timeline
from cronq.schedule.walls import DAY_S, US
from cronq.schedule.words import clock

if TYPE_CHECKING:
    from cronq.schedule.fields import Field, FieldSyntax, Item
    from cronq.schedule.schedule import Schedule
    from cronq.schedule.syntax import Syntax

_HORIZON_S = 10 * 366 * DAY_S
_OFTEN = 12
"""An interval with so many fire times a day does not miss the few that a gap swallows."""


def surprises(schedule: Schedule, now_us: int) -> list[ScheduleWarning]:
    """The warnings about a schedule: first what always holds, then by date."""
    found: list[ScheduleWarning] = []
    dated: list[ScheduleWarning] = []
    for syntax in read(schedule.text, schedule.tz):
        if isinstance(syntax, CronSyntax):
            found.extend(_about_cron(syntax))
        elif isinstance(syntax, AtSyntax):
            found.extend(_about_at(syntax, now_us))
        else:
            found.extend(_about_every(syntax))
        if (part := _Part.of(syntax, schedule)) is not None:
            dated.extend(part.about_changes(now_us // US))
    return [*dict.fromkeys(found), *sorted(dict.fromkeys(dated), key=lambda warning: warning.date or "")]


def note_at(schedule: Schedule, fire_at_us: int) -> str | None:
    """What a clock change did to one fire time, or None."""
    notes = (part.note(fire_at_us) for part in _parts(schedule))
    return "; ".join(dict.fromkeys(note for note in notes if note is not None)) or None


@lru_cache(maxsize=64)
def _parts(schedule: Schedule) -> list[_Part]:
    """The parts that clock changes can touch; remembered, since a listing asks once per line."""
    found = (_Part.of(syntax, schedule) for syntax in read(schedule.text, schedule.tz))
    return [part for part in found if part is not None]


def forget() -> None:
    """Empty the cache: a part holds its zone."""
    _parts.cache_clear()


class _Part:
    """One part of a schedule beside its zone."""

    def __init__(self, syntax: Syntax, schedule: Schedule, zone: str) -> None:
        self.syntax = syntax
        self.zone = zone
        self.spans = spans_of(zone)
        self.walls = walls_of(syntax, schedule.name)
        self.timeline: Timeline = timeline_of(syntax, self.walls, self.spans, schedule.dst)
        self.repeats, self.moves = self.timeline.rule

    @staticmethod
    def of(syntax: Syntax, schedule: Schedule) -> _Part | None:
        """The part, or None for those that no clock change can touch."""
        if isinstance(syntax, AtSyntax | StartupSyntax):
            return None
        return _Part(syntax, schedule, getattr(syntax, "zone", None) or schedule.tz)

    def about_changes(self, now: int) -> list[ScheduleWarning]:
        """The next gap and the next repeated time that matter, within ten years."""
        if self.syntax.is_interval and self._is_frequent(now):
            return []
        gap: ScheduleWarning | None = None
        repeat: ScheduleWarning | None = None
        for span in self.spans.changes(now, now + _HORIZON_S):
            if gap is None and span.offset > span.before:
                gap = self._about_gap(span)
            elif repeat is None and span.offset < span.before:
                repeat = self._about_repeat(span)
            if gap is not None and repeat is not None:
                break
        return [warning for warning in (gap, repeat) if warning is not None]

    def _is_frequent(self, now: int) -> bool:
        today = now - now % DAY_S
        return self.walls.count(today, today + 7 * DAY_S) >= 7 * _OFTEN

    def _about_gap(self, span: Span) -> ScheduleWarning | None:
        swallowed = self.timeline.moved_walls(span)
        if swallowed is None:
            return None
        first, last = swallowed
        end = self.timeline.after_gap(span)
        times = clock(first % DAY_S) if first == last else f"{clock(first % DAY_S)} to {clock(last % DAY_S)}"
        verb = "does not exist" if first == last else "do not exist"
        then = f"runs at {clock(end % DAY_S)}" if self.moves else "does not run"
        if self.moves and first != last:
            then = f"runs once, at {clock(end % DAY_S)}"
        if end // DAY_S != first // DAY_S and self.moves:
            then += f" on {_date(end)}"
        text = f"{_date(first)}: {times} {verb} in {self.zone}; {then}"
        return ScheduleWarning(text, "warning", _date(first))

    def _about_repeat(self, span: Span) -> ScheduleWarning | None:
        low, high = span.start + span.offset, span.start + span.before
        first, last = self.walls.first(low), self.walls.last(high - 1)
        if first >= high:
            return None
        times = clock(first % DAY_S) if first == last else f"{clock(first % DAY_S)} to {clock(last % DAY_S)}"
        verb = "comes twice" if first == last else "come twice"
        then = "runs both times" if self.repeats else "runs the first time only"
        text = f"{_date(first)}: {times} {verb} in {self.zone}; {then}"
        return ScheduleWarning(text, "warning", _date(first))

    def note(self, fire_at_us: int) -> str | None:
        """What stands beside a fire time, if this part is what fires."""
        second, fraction = divmod(fire_at_us, US)
        if fraction:
            return None
        span = self.spans.at(second)
        wall = second + span.offset
        fires_here = self.walls.first(wall) == wall
        if moved := self._moved_note(span, wall, fires_here):
            return moved
        if not fires_here:
            return None
        time = clock(wall % DAY_S)
        if span.offset < span.before and wall < span.start + span.before:
            return f"second {time} (clock change)" if self.repeats else None
        after = self.spans.at(span.end)
        if after.offset < after.before and wall >= after.start + after.offset:
            return f"first {time} (clock change)" if self.repeats else f"second {time} is not run"
        return None

    def _moved_note(self, span: Span, wall: int, fires_here: bool) -> str | None:
        if span.offset <= span.before or not self.moves or wall != self.timeline.after_gap(span):
            return None
        swallowed = self.timeline.moved_walls(span)
        if swallowed is None:
            return None
        first, last = (clock(tod % DAY_S) for tod in swallowed)
        times = first if first == last else f"{first} to {last}"
        return f"also for {times} (clock change)" if fires_here else f"moved from {times} (clock change)"


def _date(wall: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=wall)).date().isoformat()


def _about_cron(syntax: CronSyntax) -> list[ScheduleWarning]:
    found = []
    if not syntax.day.is_any and not syntax.weekday.is_any:
        if syntax.needs_both_days:
            message = "both day fields are set and one starts with `*`, so both must match (crontab(5))"
        else:
            message = "both day fields are set, so either is enough (crontab(5))"
        found.append(ScheduleWarning(message))
    fields = (syntax.second, syntax.minute, syntax.hour, syntax.day, syntax.month, syntax.weekday)
    for field in fields:
        if field is not None:
            found.extend(_about_steps(field))
    return found


def _about_steps(syntax: FieldSyntax) -> list[ScheduleWarning]:
    found = []
    for item in syntax.items:
        message = ""
        # Without a step of its own an item has 1: nothing to warn of, also where `high` is no upper end.
        if item.step > max(1, item.high - item.low):
            message = _too_large(syntax.field, item)
        elif item.kind == "all" and item.step > 1:
            message = _uneven(syntax.field, item)
        if message:
            found.append(ScheduleWarning(f"`{syntax.text_of(item)}`: {message}"))
    return found


def _too_large(field: Field, item: Item) -> str:
    if item.kind == "hash":
        return f"the step is larger than the range, so only one {field.label} is left"
    message = f"the step is larger than the range, so only {field.label} {field.spoken(item.low)} is left"
    return message + (_instead(field, item.step) if item.kind == "all" else "")


def _uneven(field: Field, item: Item) -> str:
    """What a step over the whole field does at its end; nothing when it divides the field."""
    if field.name == "day":
        return "days are counted anew each month, so the last step of a month is shorter"
    size = 7 if field.name == "weekday" else item.high - item.low + 1
    if size % item.step == 0:
        return ""
    last = item.low + (size - 1) // item.step * item.step
    message = f"{item.step} does not divide {size}, so the last step from {field.label} {field.spoken(last)}"
    return f"{message} is only {item.low + size - last}{_instead(field, item.step)}"


_UNITS = {"second": "s", "minute": "m", "hour": "h"}


def _instead(field: Field, step: int) -> str:
    if field.name not in _UNITS:
        return ""
    return f"; every {step} {field.plural} is `every {step}{_UNITS[field.name]}`"


def _about_at(syntax: AtSyntax, now_us: int) -> list[ScheduleWarning]:
    if syntax.at_us > now_us:
        return []
    return [ScheduleWarning(f"`{syntax.piece.text}` is in the past, so it never fires")]


def _about_every(syntax: Syntax) -> list[ScheduleWarning]:
    from cronq.schedule.every import EverySyntax

    if not isinstance(syntax, EverySyntax) or DAY_S % syntax.step == 0:
        return []
    name = syntax.piece.text.split()[1]
    if syntax.is_daily:
        last = DAY_S % syntax.step if syntax.step < DAY_S else 0
        if not last:
            return [ScheduleWarning(f"{name} is longer than a day, so it fires once a day")]
        if syntax.window is not None:
            return []
        from cronq.schedule.words import spelled

        return [
            ScheduleWarning(f"{name} does not divide a day, so the last gap of each day is {spelled(last)}")
        ]
    if syntax.step > DAY_S and syntax.step % DAY_S == 0:
        return []
    message = f"{name} does not divide a day, so the clock times shift from day to day"
    return [ScheduleWarning(f"{message}; `from 00:00` starts anew each day", "note")]
