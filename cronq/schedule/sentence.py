"""The English sentence for a schedule: what was understood, so that a wrong guess shows at once."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from cronq.schedule.cron import CronSyntax
from cronq.schedule.days import EPOCH_ORDINAL
from cronq.schedule.fields import WEEKDAY, FieldSyntax
from cronq.schedule.instant import local_text
from cronq.schedule.masks import mask_of
from cronq.schedule.parse import read
from cronq.schedule.syntax import AtSyntax, StartupSyntax
from cronq.schedule.times import time_phrase
from cronq.schedule.walls import DAY_S
from cronq.schedule.words import (
    MONTH_NAMES,
    WEEKDAY_NAMES,
    around,
    clock,
    counted,
    listed,
    ordinal,
    runs_listed,
    shape_of,
    spelled,
)

if TYPE_CHECKING:
    from cronq.schedule.every import EverySyntax, NthSyntax
    from cronq.schedule.oncalendar import CalendarSyntax
    from cronq.schedule.syntax import Syntax

_ORDINALS = [ordinal(number) for number in range(32)]


def sentence(text: str, tz: str, name: str) -> str:
    """What a schedule says, in English.

    Args:
        text: A text that `parse` accepts.
        tz: Its zone, in which one-offs are told.
        name: The job's name, which places `H`.
    """
    return "; and ".join(_part(syntax, tz, name) for syntax in read(text, tz))


def _part(syntax: Syntax, tz: str, name: str) -> str:
    if isinstance(syntax, CronSyntax):
        return _cron(syntax, name)
    if isinstance(syntax, AtSyntax):
        return f"once, at {local_text(syntax.at_us, tz)}"
    if isinstance(syntax, StartupSyntax):
        return "once per boot, when the scheduler starts"
    from cronq.schedule.every import EverySyntax, NthSyntax

    if isinstance(syntax, EverySyntax):
        return _every(syntax)
    if isinstance(syntax, NthSyntax):
        return _nth(syntax, name)
    return _calendar(syntax)


def _cron(syntax: CronSyntax, name: str) -> str:
    second = mask_of(syntax.second, name) if syntax.second is not None else None
    time = time_phrase(second, mask_of(syntax.minute, name), mask_of(syntax.hour, name))
    months = _months(mask_of(syntax.month, name))
    day = None if syntax.day.is_any else day_phrase(syntax.day, name)
    weekday = None if syntax.weekday.is_any else weekday_phrase(syntax.weekday, name)
    of_month = f"of {months}" if months else "of the month"
    in_months = f" in {months}" if months else ""
    if day is None and weekday is None:
        return f"{time}{_every_day(time)}{in_months}"
    if weekday is None:
        return f"{time} on {day} {of_month}"
    of_weekday = f" {of_month}" if _is_counted(syntax.weekday) else in_months
    if day is None:
        return f"{time} on {weekday}{of_weekday}"
    if syntax.needs_both_days:
        return f"{time} on {day} {of_month}, if that is {weekday}"
    return f"{time} on {day} {of_month} or on {weekday}{of_weekday}"


def _every_day(time: str) -> str:
    """The words that a bare clock time needs."""
    is_clock = time[:3] == "at " and time[5:6] == ":" and " of " not in time
    return " every day" if is_clock else ""


def _is_counted(field: FieldSyntax) -> bool:
    return any(item.kind in ("nth", "last_weekday") for item in field.items)


def _months(mask: int) -> str:
    """The months by name, or nothing for all of them."""
    shape = shape_of(mask >> 1, 0, 11)
    return "" if shape.kind == "all" else runs_listed(around(shape.runs, 0, 11), MONTH_NAMES)


def day_phrase(field: FieldSyntax, name: str) -> str:
    """A day-of-month field after the word "on"."""
    parts = []
    mask = mask_of(field, name)
    if mask:
        shape = shape_of(mask, 1, 31)
        if shape.kind == "all":
            parts.append("every day")
        elif shape.kind == "step":
            parts.append(f"every {ordinal(shape.step)} day from the {ordinal(shape.first)}")
        else:
            parts.append("the " + runs_listed(shape.runs, _ORDINALS))
    for item in field.items:
        if item.kind == "last":
            parts.append("the last day")
        elif item.kind == "last_workday":
            parts.append("the last Monday-to-Friday")
        elif item.kind == "near":
            parts.append(f"the Monday-to-Friday nearest the {ordinal(item.low)}")
    return listed(parts)


def weekday_phrase(field: FieldSyntax, name: str) -> str:
    """A day-of-week field after the word "on"."""
    parts = []
    mask = mask_of(field, name)
    if mask:
        parts.append(weekdays_listed(mask))
    for item in field.items:
        if item.kind == "nth":
            parts.append(f"the {ordinal(item.high)} {WEEKDAY_NAMES[item.low]}")
        elif item.kind == "last_weekday":
            parts.append(f"the last {WEEKDAY_NAMES[item.low]}")
    return listed(parts)


def weekdays_listed(mask: int) -> str:
    """Weekdays in the order of a week that opens with Monday, or `any day`."""
    if mask == 127:
        return "any day"
    turned = (mask >> 1 | mask << 6) & 127
    runs = around(shape_of(turned, 0, 6).runs, 0, 6)
    return runs_listed(runs, [*WEEKDAY_NAMES[1:], WEEKDAY_NAMES[0]])


def _every(syntax: EverySyntax) -> str:
    text = f"every {spelled(syntax.step)}"
    if syntax.window is not None:
        first, last = syntax.window
        text += f" between {clock(first)} and {clock(last)} inclusive"
    if syntax.weekdays is not None:
        text += f" on {weekdays_listed(mask_of(syntax.weekdays, ''))}"
    if syntax.start is not None:
        text += f", counted from {_date(syntax.start)} {clock(syntax.tod or 0)}"
        text += " and anew each day" if syntax.is_daily else ""
    elif syntax.is_daily:
        text += f", counted from {clock(syntax.tod or 0)} each day"
    elif DAY_S % syntax.step:
        text += f", counted on from Monday {_date(4)} 00:00"
    return text


def _nth(syntax: NthSyntax, name: str) -> str:
    text = f"every {counted(syntax.number, syntax.unit[:-1])}"
    if syntax.on is not None:
        is_weekday = syntax.on.field is WEEKDAY
        text += " on " + (weekday_phrase(syntax.on, name) if is_weekday else day_phrase(syntax.on, name))
    text += " at " + listed([clock(tod) for tod in syntax.tods])
    return text if syntax.start is None else f"{text}, counted from {_date(syntax.start)}"


def _calendar(syntax: CalendarSyntax) -> str:
    from cronq.schedule.oncalendar import ALL_YEARS

    second = None if syntax.seconds == 1 else syntax.seconds
    text = time_phrase(second, syntax.minutes, syntax.hours)
    days = shape_of(syntax.days, 1, 31)
    months = _months(syntax.months)
    if days.kind != "all":
        ending = " from the end" if syntax.from_end else ""
        day = f"every {ordinal(days.step)} day from the {ordinal(days.first)}"
        if days.kind != "step":
            day = f"the {runs_listed(days.runs, _ORDINALS)}{' day' if ending else ''}"
        text += f" on {day}{ending} of {months or 'the month'}"
        if syntax.weekdays != 127:
            text += f", if that is {weekdays_listed(syntax.weekdays)}"
    else:
        text += f" on {weekdays_listed(syntax.weekdays)}" if syntax.weekdays != 127 else _every_day(text)
        text += f" in {months}" if months else ""
    if syntax.years != ALL_YEARS:
        runs = shape_of(syntax.years, -1, 1 << 30).runs
        years = listed([_years(first, last) for first, last in runs])
        text += f"{',' if months or days.kind != 'all' else ' in'} {years}"
    return text if syntax.zone is None else f"{text} ({syntax.zone})"


def _years(first: int, last: int) -> str:
    return f"{1970 + first}" if first == last else f"{1970 + first} to {1970 + last}"


def _date(day: int) -> str:
    return (date.fromordinal(EPOCH_ORDINAL) + timedelta(days=day)).isoformat()
