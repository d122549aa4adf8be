"""`--calendar us-holidays:skip`: which calendar a job follows, and what it does on its dates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cronq.errors import ScheduleError
from cronq.schedule.calendars import Calendar, unknown_calendar
from cronq.schedule.holiday_package import is_spec, read_spec
from cronq.schedule.pieces import Piece, did_you_mean, printable

RULES = ("skip", "next", "previous")
_HINT = "say what the job does on its dates: `us-holidays:skip`, `:next` or `:previous` business day"
_MAX_CHARS = 80


class CalendarUse(NamedTuple):
    """A calendar and what a fire time on one of its dates becomes.

    `rule` is `skip` (nothing), `next` or `previous` (the same wall time on that business day).
    """

    calendar: Calendar
    rule: str

    @property
    def text(self) -> str:
        """The normal form."""
        return f"{self.calendar.name}:{self.rule}"


def read_use(text: str, known: Mapping[str, Calendar]) -> CalendarUse:
    """The use that a text such as `shutdown:next` names.

    Args:
        text: A name, a colon and a rule.
        known: Defined calendars by name; `us-holidays` and its like need no definition.

    Raises:
        ScheduleError: It cannot be read, or names no calendar; points at the place.
    """
    if len(text) > _MAX_CHARS:
        cut = text[:_MAX_CHARS]
        raise Piece(cut, 0, len(cut)).error("too long for a calendar and a rule", _HINT)
    whole = Piece(text, 0, len(text)).stripped()
    name, colon, rule = whole.text.rpartition(":")
    if not whole.text:
        raise whole.error("the calendar is empty", _HINT)
    if not colon or not rule:
        raise whole.error(f"`{printable(whole.text)}` has no rule", _HINT)
    if not name:
        raise whole.error("the calendar has no name", _HINT)
    if rule.lower() not in RULES:
        wrong = whole.cut(len(name) + 1, len(name) + 1 + len(rule))
        raise wrong.error(f"unknown rule `{printable(rule)}`", did_you_mean(rule, list(RULES)) or _HINT)
    return CalendarUse(_calendar(whole.cut(0, len(name)), known), rule.lower())


def _calendar(piece: Piece, known: Mapping[str, Calendar]) -> Calendar:
    name = piece.text
    if (found := known.get(name)) is not None:
        return found
    if not is_spec(name):
        raise piece.error(*unknown_calendar(printable(name), known))
    try:
        return read_spec(name)
    except ScheduleError as error:
        if error.span is None:
            raise
        raise piece.cut(*error.span).error(error.message, error.hint) from error


def read_uses(texts: Iterable[str], known: Mapping[str, Calendar]) -> tuple[CalendarUse, ...]:
    """The uses of several texts; a calendar may stand in one of them only.

    Raises:
        ScheduleError: As `read_use`, or a calendar stands twice.
    """
    uses: list[CalendarUse] = []
    for text in texts:
        use = read_use(text, known)
        if any(use.calendar.name == other.calendar.name for other in uses):
            whole = Piece(text, 0, len(text)).stripped()
            raise whole.error(f"calendar `{use.calendar.name}` stands twice", "one rule for each calendar")
        uses.append(use)
    return tuple(uses)
