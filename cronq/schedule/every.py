"""`every …`: intervals and every n-th day, week or month.

::

    every 10m [from 09:00 | from DATE[THH:MM]] [between 09:00-17:00] [on mon-fri]
    every [2] days|weeks|months [on fri | on 15] [at 10:00[,16:00]] [from DATE]
"""

from __future__ import annotations

from typing import NamedTuple

from cronq.errors import DurationError
from cronq.schedule.days import NEVER, EveryDay, Weekdays
from cronq.schedule.duration import parse_duration
from cronq.schedule.fields import DAY, WEEKDAY, FieldSyntax, read_field
from cronq.schedule.interval import STEADY_ANCHOR, DailyWalls, SteadyWalls, daily_tods
from cronq.schedule.masks import mask_of
from cronq.schedule.nth import MonthSteps, WeekSteps, day_steps
from cronq.schedule.pieces import Piece, did_you_mean, joined
from cronq.schedule.readers import DATE, read_day, read_tod, read_weekdays
from cronq.schedule.walls import DAY_S, CronWalls, Since, Walls

_KEYWORDS = ("from", "between", "on", "at")
_NTH_UNITS = {
    "day": "days",
    "days": "days",
    "week": "weeks",
    "weeks": "weeks",
    "month": "months",
    "months": "months",
}
_STEP_UNITS = {
    "second": 1, "seconds": 1, "sec": 1, "secs": 1, "minute": 60, "minutes": 60, "min": 60, "mins": 60,
    "hour": 3600, "hours": 3600,
}  # fmt: skip
_MAX_STEP_S = 50 * 365 * DAY_S
_MAX_COUNT = 600
_HINT = "such as `every 10m`, `every 90s from 09:00`, `every 2 weeks on fri at 10:00`"


class EverySyntax(NamedTuple):
    """An interval.

    Attributes:
        step: Seconds.
        tod: Second of the day of `from`, or None.
        start: Day number of `from`'s date, or None.
        window: First and last second of the day of `between`, or None.
        weekdays: The field after `on`, or None.
    """

    piece: Piece
    step: int
    tod: int | None
    start: int | None
    window: tuple[int, int] | None
    weekdays: FieldSyntax | None

    @property
    def is_interval(self) -> bool:
        """True: rule 14 counts every `every` as an interval."""
        return True

    @property
    def is_daily(self) -> bool:
        """Whether the count starts anew each day."""
        return self.window is not None or (self.tod is not None and self.start is None)


class NthSyntax(NamedTuple):
    """Every n-th day, week or month.

    Attributes:
        number: Every how many.
        unit: `days`, `weeks` or `months`.
        on: The field after `on`, or None.
        tods: Seconds of the day, ascending.
        start: Day number of `from`, or None.
    """

    piece: Piece
    number: int
    unit: str
    on: FieldSyntax | None
    tods: tuple[int, ...]
    start: int | None

    @property
    def has_years(self) -> bool:
        """Whether years go by between two occurrences, so that 50 of them decide nothing."""
        return self.unit == "months" and self.number > 1

    @property
    def is_interval(self) -> bool:
        """False, against the letter of rule 14, which counts every `every` as an interval.

        An interval does not fire at a missing time, since its next one is near. Here the next one
        may be a fortnight or months away: the run is moved to the first minute after the gap, and a
        repeated time runs once, as for a cron expression that names its times.
        """
        return False


def read_every(piece: Piece, words: list[Piece]) -> EverySyntax | NthSyntax:
    """The interval after the word `every` (or `@every`).

    Raises:
        ScheduleError: It cannot be read.
    """
    if len(words) == 1:
        raise piece.error("`every` needs an interval", _HINT)
    head, clauses = _clauses(words[1:])
    if not head:
        raise words[1].error("`every` needs an interval before this", _HINT)
    if (nth := _nth_head(head)) is not None:
        return _read_nth(piece, *nth, clauses)
    step = _step(head)
    if "at" in clauses:
        raise clauses["at"][0].error(
            "`at` needs days, weeks or months",
            "such as `every 2 weeks on fri at 10:00`; intervals take `from 09:00`",
        )
    tod, start = _from(clauses.get("from"))
    weekdays = None
    if on := clauses.get("on"):
        weekdays = read_weekdays(_single(on))
    return EverySyntax(piece, step, tod, start, _window(clauses.get("between")), weekdays)


def _clauses(words: list[Piece]) -> tuple[list[Piece], dict[str, list[Piece]]]:
    """The words before the first keyword, and per keyword itself and its words."""
    head: list[Piece] = []
    clauses: dict[str, list[Piece]] = {}
    current = head
    for word in words:
        key = word.text.lower()
        if key in _KEYWORDS:
            if key in clauses:
                raise word.error(f"`{key}` stands twice", _HINT)
            current = clauses[key] = []
        elif current is not head and len(current) >= 2 and not _continues(current):
            hint = did_you_mean(key, list(_KEYWORDS)) or "clauses are from, between, on and at"
            raise word.error(f"unknown word `{word.text}`", hint)
        current.append(word)
    for key, clause in clauses.items():
        if len(clause) == 1:
            raise clause[0].error(f"`{key}` needs something after it", _HINT)
    return head, clauses


def _continues(clause: list[Piece]) -> bool:
    # between 09:00 and 17:00; from 2026-01-01 09:00
    key = clause[0].text.lower()
    return (key == "between" and len(clause) < 4) or (key == "from" and len(clause) < 3)


def _single(clause: list[Piece]) -> Piece:
    return clause[1]


def _nth_head(head: list[Piece]) -> tuple[int, str] | None:
    unit = _NTH_UNITS.get(head[-1].text.lower())
    if unit is None or len(head) > 2:
        return None
    if len(head) == 1:
        return 1, unit
    number = head[0]
    if not number.text.isdigit():
        raise number.error(f"`{number.text}` is not a number", _HINT)
    count = int(number.text)
    if not 1 <= count <= _MAX_COUNT:
        raise number.error(f"{count} is out of range 1-{_MAX_COUNT}", _HINT)
    return count, unit


def _step(head: list[Piece]) -> int:
    whole = joined(head[0], head[-1])
    unit = _STEP_UNITS.get(head[-1].text.lower())
    if unit is not None and len(head) == 1:
        return unit
    if unit is not None and len(head) == 2 and head[0].text.isdigit():
        step: float = int(head[0].text) * unit
    elif len(head) > 1:
        hint = did_you_mean(head[1].text, [*_KEYWORDS, *_NTH_UNITS, *_STEP_UNITS])
        raise head[1].error(f"unknown word `{head[1].text}`", hint or "clauses are from, between, on and at")
    else:
        step = _duration(head[0])
    if step < 1 or step != int(step):
        raise whole.error("an interval is a whole number of seconds, at least 1s", _HINT)
    if step > _MAX_STEP_S:
        raise whole.error("the interval is longer than 50 years", _HINT)
    return int(step)


def _duration(word: Piece) -> float:
    try:
        return parse_duration(word.text)
    except DurationError as error:
        left, right = error.span or (0, len(word.text))
        raise word.cut(left, right).error(error.message, error.hint) from error


def _from(clause: list[Piece] | None) -> tuple[int | None, int | None]:
    """The second of the day and the day number after `from`."""
    if clause is None:
        return None, None
    whole = joined(clause[1], clause[-1])
    text = whole.text
    if len(clause) == 2 and ":" in text and "-" not in text:
        return read_tod(whole), None
    day_text = text[:10]
    if DATE.fullmatch(day_text) is None or text[10:11] not in ("", "T", "t", " ", "\t"):
        raise whole.error(
            f"`{text}` is not a time or a date",
            "write `from 09:00`, `from 2026-01-01` or `from 2026-01-01T09:00`",
        )
    start = read_day(whole.cut(0, 10))
    rest = whole.cut(11, len(text)).stripped() if len(text) > 10 else None
    return (read_tod(rest) if rest is not None else None), start


def _window(clause: list[Piece] | None) -> tuple[int, int] | None:
    if clause is None:
        return None
    if len(clause) == 4 and clause[2].text.lower() in ("and", "-"):
        return read_tod(clause[1]), read_tod(clause[3], midnight=DAY_S - 1)
    whole = joined(clause[1], clause[-1])
    first, dash, last = whole.text.partition("-")
    if len(clause) != 2 or not dash:
        raise whole.error(f"`{whole.text}` is not a range of times", "write `between 09:00-17:00`")
    return (
        read_tod(whole.cut(0, len(first))),
        read_tod(whole.cut(len(first) + 1, len(first) + 1 + len(last)), midnight=DAY_S - 1),
    )


def _read_nth(piece: Piece, count: int, unit: str, clauses: dict[str, list[Piece]]) -> NthSyntax:
    if "between" in clauses:
        raise clauses["between"][0].error(
            f"`between` does not go with {unit}", "name the times: `at 09:00,17:00`"
        )
    tod, start = _from(clauses.get("from"))
    if tod is not None:
        raise joined(*clauses["from"][:2]).error(
            f"`from` takes a date with {unit}", "such as `from 2026-01-09`"
        )
    on = None
    if clause := clauses.get("on"):
        word = _single(clause)
        on = read_weekdays(word) if unit != "months" else _month_field(word)
    tods: tuple[int, ...] = (0,)
    if clause := clauses.get("at"):
        tods = _tods(_single(clause))
    return NthSyntax(piece, count, unit, on, tods, start)


def _month_field(word: Piece) -> FieldSyntax:
    text = word.text
    is_weekday = "#" in text or (text[0].isalpha() and text[0] not in "lLhH" and len(text) > 1)
    return read_field(word, WEEKDAY if is_weekday else DAY)


def _tods(word: Piece) -> tuple[int, ...]:
    found = set()
    at = 0
    for text in word.text.split(","):
        piece = word.cut(at, at + len(text))
        tod = read_tod(piece)
        if tod % 60:
            raise piece.error(f"`{text}` has seconds", "times of day are whole minutes here")
        found.add(tod)
        at += len(text) + 1
    return tuple(sorted(found))


def walls_of_every(syntax: EverySyntax) -> Walls:
    """The wall times of an interval."""
    weekdays = 127 if syntax.weekdays is None else mask_of(syntax.weekdays, "")
    start = None if syntax.start is None else syntax.start * DAY_S + (syntax.tod or 0)
    walls: Walls
    if syntax.is_daily:
        tods = daily_tods(syntax.step, syntax.tod or 0, syntax.window)
        walls = DailyWalls(EveryDay() if weekdays == 127 else Weekdays(weekdays), tods) if tods else Nothing()
    else:
        anchor = start if start is not None else STEADY_ANCHOR
        walls = SteadyWalls(syntax.step, anchor, weekdays)
    return walls if start is None else Since(walls, start)


class Nothing(SteadyWalls):
    """No wall time at all: a window that holds no count."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(1, 0, 0)

    def first(self, wall: int) -> int:
        """`NEVER`."""
        del wall
        return NEVER


def walls_of_nth(syntax: NthSyntax, name: str) -> Walls:
    """The wall times of every n-th day, week or month.

    Args:
        syntax: As read.
        name: The job's name, which places `H`.
    """
    minutes = 0
    for tod in syntax.tods:
        minutes |= 1 << tod // 60
    mask = 0 if syntax.on is None else mask_of(syntax.on, name)
    if syntax.unit == "days":
        walls: Walls = CronWalls(day_steps(syntax.number, syntax.start, mask or 127), minutes)
    elif syntax.unit == "weeks":
        walls = CronWalls(WeekSteps(syntax.number, syntax.start, mask), minutes)
    else:
        walls = CronWalls(MonthSteps(syntax.number, syntax.start, syntax.on, mask), minutes)
    return walls if syntax.start is None else Since(walls, syntax.start * DAY_S)
