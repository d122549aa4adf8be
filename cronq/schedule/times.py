"""The English phrase for a time of day: from sets of hours, minutes and seconds."""

from __future__ import annotations

from cronq.schedule.masks import bits
from cronq.schedule.words import Shape, around, clock, listed, numbers, ordinal, shape_of

_FEW = 6
"""So many clock times are listed one by one."""


def time_phrase(seconds: int | None, minutes: int, hours: int) -> str:
    """The phrase, such as `at 09:00`, `every 5 minutes` or `at second 30 of every minute`.

    Args:
        seconds: The set of seconds of a schedule that names them; None otherwise.
        minutes: The set of minutes.
        hours: The set of hours.
    """
    minute, hour = shape_of(minutes, 0, 59), shape_of(hours, 0, 23)
    hour = hour._replace(runs=around(hour.runs, 0, 23))
    if seconds is not None:
        return _with_seconds(shape_of(seconds, 0, 59), minute, hour, minutes, hours)
    if minute.kind == "all":
        return f"every minute{_during(hour)}"
    if minute.kind == "step":
        start = f" from minute {minute.first}" if minute.first else ""
        short = " of each hour" if 60 % minute.step or start else ""
        return f"every {minute.step} minutes{start}{short}{_during(hour)}"
    if few := _few(minutes, hours, hour):
        return f"at {few}"
    if minute.kind == "one":
        return _hourly(minute.first, hour)
    return f"at minutes {numbers(minute.runs)} {_of_hours(hour)}"


def _few(minutes: int, hours: int, hour: Shape) -> str:
    """The clock times one by one, or nothing when they are many or evenly spaced."""
    if hour.kind in ("all", "step") or minutes.bit_count() * hours.bit_count() > _FEW:
        return ""
    return listed([clock(h * 3600 + m * 60) for h in bits(hours) for m in bits(minutes)])


def _hourly(minute: int, hour: Shape) -> str:
    if hour.kind == "all":
        return f"at minute {minute} of every hour"
    if hour.kind == "step":
        anew = ", anew each day" if 24 % hour.step else ""
        return f"every {hour.step} hours from {hour.first:02}:{minute:02}{anew}"
    if len(hour.runs) == 1:
        first, last = hour.runs[0]
        return f"every hour from {first:02}:{minute:02} to {last:02}:{minute:02}"
    return f"at minute {minute} {_of_hours(hour)}"


def _during(hour: Shape) -> str:
    """The hours after "every minute"."""
    if hour.kind == "all":
        return ""
    if len(hour.runs) == 1:
        first, last = hour.runs[0]
        return f" from {first:02}:00 to {last:02}:59"
    return f" {_of_hours(hour)}"


def _of_hours(hour: Shape) -> str:
    if hour.kind == "all":
        return "of every hour"
    if hour.kind == "step":
        return f"of every {ordinal(hour.step)} hour from {hour.first}"
    return f"of hour{'s' * (hour.kind != 'one')} {numbers(hour.runs)}"


def _with_seconds(second: Shape, minute: Shape, hour: Shape, minutes: int, hours: int) -> str:
    if second.kind == "all":
        text = "every second of"
    elif second.kind == "step":
        start = f" from second {second.first}" if second.first else ""
        text = f"every {second.step} seconds{start} of"
    else:
        text = f"at second{'s' * (second.kind != 'one')} {numbers(second.runs)} of"
    if minute.kind == "all":
        return f"{text} every minute{_during(hour)}"
    if minute.kind == "step":
        start = f" from {minute.first}" if minute.first else ""
        return f"{text} every {ordinal(minute.step)} minute{start}{_during(hour)}"
    if few := _few(minutes, hours, hour):
        return f"{text} {few}"
    plural = "s" * (minute.kind != "one")
    return f"{text} minute{plural} {numbers(minute.runs)} {_of_hours(hour)}"
