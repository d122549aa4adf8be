"""Readers of the small things that several grammars share: a time of day, weekdays, a date."""

from __future__ import annotations

import re

from cronq.errors import InstantError
from cronq.schedule.fields import WEEKDAY, FieldSyntax, read_field
from cronq.schedule.instant import day_of
from cronq.schedule.pieces import Piece
from cronq.schedule.walls import DAY_S

DATE = re.compile(r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})")
_TIME = re.compile(r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2}))?")


def read_tod(piece: Piece, *, midnight: int | None = None) -> int:
    """The second of the day of `09:00` or `09:00:30`.

    Args:
        piece: The text.
        midnight: What 24:00 is, where it may stand; None where it may not.

    Raises:
        ScheduleError: It is no time of day.
    """
    found = _TIME.fullmatch(piece.text)
    if found is None:
        raise piece.error(f"`{piece.text}` is not a time of day", "write 09:00 or 09:00:30")
    hour, minute, second = (int(part or 0) for part in found.groups())
    if midnight is not None and (hour, minute, second) == (24, 0, 0):
        return midnight
    for name, value, high in (("hour", hour, 23), ("minute", minute, 59), ("second", second, 59)):
        if value > high:
            raise piece.cut(*found.span(name)).error(
                f"{name} {value} is out of range 0-{high}", f"{name}s are 0 to {high}"
            )
    return hour * 3600 + minute * 60 + second


def read_tods(piece: Piece) -> tuple[int, int]:
    """The two seconds of the day of `09:00-17:00`; the second one may be 24:00.

    Raises:
        ScheduleError: It is no such range.
    """
    first, dash, last = piece.text.partition("-")
    if not dash:
        raise piece.error(f"`{piece.text}` is not a range of times", "write `09:00-17:00`")
    after = len(first) + 1
    return read_tod(piece.cut(0, len(first))), read_tod(piece.cut(after, after + len(last)), midnight=DAY_S)


def read_weekdays(piece: Piece) -> FieldSyntax:
    """The day-of-week field of `mon-fri` or `sat,sun`.

    Raises:
        ScheduleError: It is no weekday, or a special item such as `fri#1`.
    """
    syntax = read_field(piece, WEEKDAY)
    for item in syntax.items:
        if item.kind not in ("range", "all"):
            wrong = Piece(piece.full, item.start, item.end)
            raise wrong.error(
                f"`{wrong.text}` is not a weekday or a range of weekdays",
                "write `on mon-fri` or `on sat,sun`",
            )
    return syntax


def read_day(piece: Piece) -> int:
    """The day number of `2026-12-24`.

    Raises:
        ScheduleError: It is no date, or the calendar has no such day.
    """
    found = DATE.fullmatch(piece.text)
    if found is None:
        raise piece.error(f"`{piece.text}` is not a date", "write 2026-12-24")
    try:
        return day_of(piece.text, found, 0)
    except InstantError as error:
        left, right = error.span or (0, len(piece.text))
        # The hint about a day that a month does not have is kept; the others speak of instants.
        hint = error.hint if "shorter" in error.hint else "write 2026-12-24"
        raise piece.cut(left, right).error(error.message, hint) from error
