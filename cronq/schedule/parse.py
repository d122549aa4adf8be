"""From text to `Schedule`: the forms, the union and the cache."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache

from cronq.errors import InstantError, InvariantError, ScheduleError
from cronq.schedule.cron import MACROS, CronSyntax, read_cron, read_macro, walls_of_cron
from cronq.schedule.days import NEVER
from cronq.schedule.pieces import Piece, did_you_mean, printable
from cronq.schedule.schedule import Part, Schedule, us_from_datetime
from cronq.schedule.spans import ZoneSpans, spans_of
from cronq.schedule.syntax import AtSyntax, StartupSyntax, Syntax
from cronq.schedule.timeline import Timeline
from cronq.schedule.union import Instants, Union
from cronq.schedule.walls import DAY_S, Walls

DST_POLICIES = ("cron", "skip", "both")
MAX_PART = 256
"""Characters of one schedule (rule 3)."""

MAX_PARTS = 16
_MAX_TEXT = MAX_PART * MAX_PARTS
_MAY_HASH = re.compile("[Hh]")
_NOT_ASCII = re.compile(r"[^\t\x20-\x7e]")
_ONE_OFF = re.compile(r"(?:^|;)[ \t]*(?:in|at)[ \t]", re.I)
_WORDS = ("every", "at", "in", "oncalendar:")
_FORMS = (
    "a schedule is five cron fields, a macro such as @daily, `every 10m`, `at 2026-12-24T18:00` or `in 10m`"
)
_ALL_MACROS = (*MACROS, "@reboot", "@every")
# 2000-01-01: within 50 years of it there is each kind of year with each first weekday.
_SAMPLE_DAY = 10957
# 1970, 2020, 2070, 2120 and 2170, for schedules that name years.
_SAMPLE_DAYS_OF_YEARS = (0, 18262, 36525, 54787, 73049)


def parse(
    text: str, *, tz: str = "UTC", name: str = "", dst: str = "cron", now: datetime | None = None
) -> Schedule:
    """The schedule that a text names in a zone.

    Args:
        text: The text, see `cronq help schedules`.
        tz: The IANA key of the zone.
        name: The job's name, which places `H`.
        dst: `cron`, `skip` or `both` (rule 16).
        now: An aware datetime from which `in 10m` and `at tomorrow 09:00` count; the clock's by default.

    Raises:
        ScheduleError: The text cannot be read or names no fire time; points at the place. An `at`
            in the past is read (its `next` is None after it), since finished jobs are kept.
        TimezoneError: There is no such zone.
    """
    if len(text) > _MAX_TEXT:
        # Before the cache, which would hash the whole of it.
        raise _too_long(text)
    if _ONE_OFF.search(text):
        text = _settled(text, tz, now)
    return _parse(text, tz, name, dst)


@lru_cache(maxsize=4096)
def _parse(text: str, tz: str, name: str, dst: str) -> Schedule:
    if dst not in DST_POLICIES:
        hint = (
            did_you_mean(dst, list(DST_POLICIES)) or "a clock change is treated by `cron`, `skip` or `both`"
        )
        raise ScheduleError(
            f"unknown clock-change policy `{printable(dst[:40])}`",
            hint=hint,
            text=printable(dst[:40]),
            span=(0, min(40, len(dst))),
        )
    if name and not _MAY_HASH.search(text):
        # Without `H` the same text is the same for all jobs, and many have the same.
        return _parse(text, tz, "", dst).of(name)
    spans = spans_of(tz)
    syntaxes = read(text, tz)
    parts = [_part(syntax, spans, name, dst) for syntax in syntaxes]
    return Schedule(
        text.strip(" \t"),
        tz,
        name,
        dst,
        at_startup=any(isinstance(syntax, StartupSyntax) for syntax in syntaxes),
        is_interval=all(syntax.is_interval for syntax in syntaxes),
        part=parts[0] if len(parts) == 1 else Union(parts),
    )


def forget() -> None:
    """Empty the cache of parsed schedules: they hold their zones."""
    _parse.cache_clear()


def read(text: str, tz: str) -> list[Syntax]:
    """The parts of a union as they were written.

    Raises:
        ScheduleError: It cannot be read.
    """
    whole = _checked(text)
    return [_read_part(piece, tz) for piece in _pieces(whole)]


def _checked(text: str) -> Piece:
    whole = Piece(text, 0, len(text))
    if wrong := _NOT_ASCII.search(text):
        sign = wrong[0]
        what = "a line break" if sign in "\r\n" else f"the character U+{ord(sign):04X}"
        raise whole.cut(*wrong.span()).error(f"the schedule holds {what}", "schedules are one line of ASCII")
    if not text.strip(" \t"):
        raise whole.error("the schedule is empty", _FORMS)
    return whole


def _too_long(text: str) -> ScheduleError:
    return ScheduleError(
        f"the schedule has {len(text)} characters; {MAX_PART} are enough",
        hint="join several schedules with ` ; `, each of them short",
        text=printable(text[:60]) + "…",
        span=(60, 61),
    )


def _pieces(whole: Piece) -> list[Piece]:
    if ";" not in whole.text:
        return [_fitting(whole.stripped())]
    found = []
    at = 0
    for text in whole.text.split(";"):
        piece = whole.cut(at, at + len(text)).stripped()
        if not piece.text:
            sign = max(0, at - 1)
            raise whole.cut(sign, sign + 1).error(
                "an empty schedule beside `;`", "write one on both sides, or none"
            )
        found.append(_fitting(piece))
        at += len(text) + 1
    if len(found) > MAX_PARTS:
        raise found[MAX_PARTS].error(f"more than {MAX_PARTS} schedules in one", "make it several jobs")
    return found


def _fitting(piece: Piece) -> Piece:
    if piece.end - piece.start > MAX_PART:
        raise piece.cut(MAX_PART, piece.end - piece.start).error(
            f"the schedule has {piece.end - piece.start} characters, more than {MAX_PART}", _FORMS
        )
    return piece


def _read_part(piece: Piece, tz: str) -> Syntax:
    words = piece.words()
    first = words[0].text.lower()
    if first[0] == "@":
        return _read_at_sign(piece, words, first)
    if first == "every":
        from cronq.schedule.every import read_every

        return read_every(piece, words)
    if first == "in":
        raise piece.error("`in` needs a duration after it", "such as `in 10m` or `in 1h30m`")
    if first == "at":
        return _read_at(piece, words, tz)
    if first.startswith("oncalendar:"):
        from cronq.schedule.oncalendar import read_calendar

        return read_calendar(piece)
    if first.isalpha() and len(first) > 1:
        _unknown_form(piece, words, first)
    return read_cron(piece, words)


def _unknown_form(piece: Piece, words: list[Piece], first: str) -> None:
    hint = did_you_mean(first, [*_WORDS, *_ALL_MACROS])
    if "@" + first in _ALL_MACROS:
        hint = f"did you mean `@{first}`?"
    if hint or len(words) < 5:
        shown = words[0] if len(words) > 1 else piece
        raise shown.error(f"unknown schedule `{shown.text}`", hint or _FORMS)


def _read_at_sign(piece: Piece, words: list[Piece], first: str) -> Syntax:
    if first == "@every":
        from cronq.schedule.every import read_every

        return read_every(piece, words)
    if first not in _ALL_MACROS:
        hint = did_you_mean(first, list(_ALL_MACROS))
        raise words[0].error(
            f"unknown schedule `{words[0].text}`", hint or "macros: " + " ".join(_ALL_MACROS)
        )
    if len(words) > 1:
        raise words[1].error(f"`{words[1].text}` after a macro", f"`{first}` stands alone")
    return StartupSyntax(piece) if first == "@reboot" else read_macro(piece)


def _read_at(piece: Piece, words: list[Piece], tz: str) -> AtSyntax:
    from cronq.schedule.instant import resolve

    if len(words) == 1:
        raise piece.error(
            "`at` needs a date and time", "such as `at 2026-12-24T18:00` or `at tomorrow 09:00`"
        )
    rest = Piece(piece.full, words[1].start, piece.end)
    try:
        return AtSyntax(piece, resolve(rest.text, tz=tz, now_us=0).at_us)
    except InstantError as error:
        raise _at_place(rest, error) from error


def _at_place(rest: Piece, error: InstantError) -> ScheduleError:
    left, right = error.span or (0, len(rest.text))
    return rest.cut(left, right).error(error.message, error.hint)


def _settled(text: str, tz: str, now: datetime | None) -> str:
    """The text with each time that is relative to now replaced by its instant."""
    pieces = _pieces(_checked(text))
    texts = [_settled_part(piece, tz, now) for piece in pieces]
    if all(new == piece.text for new, piece in zip(texts, pieces, strict=True)):
        return text
    return " ; ".join(texts)


def _settled_part(piece: Piece, tz: str, now: datetime | None) -> str:
    words = piece.words()
    first = words[0].text.lower()
    if first not in ("in", "at"):
        # Read now, so that an error points into what was typed and not into what is stored.
        _read_part(piece, tz)
        return piece.text
    if len(words) == 1:
        raise piece.error(f"`{first}` needs a time after it", "such as `in 10m` or `at 2026-12-24T18:00`")
    from cronq.schedule.instant import format_utc, is_relative, resolve

    rest = Piece(piece.full, words[1].start, piece.end)
    if first == "in" and not rest.text[0].isdigit():
        raise rest.error(f"`{rest.text}` is not a duration", "such as `in 10m` or `in 1h30m`")
    wanted = Piece(piece.full, words[0].start if first == "in" else rest.start, piece.end)
    if first == "at" and not is_relative(wanted.text):
        return piece.text
    try:
        return "at " + format_utc(resolve(wanted.text, tz=tz, now_us=_now_us(now)).at_us)
    except InstantError as error:
        raise _at_place(wanted, error) from error


def _now_us(now: datetime | None) -> int:
    if now is not None:
        return us_from_datetime(now)
    from cronq import clock

    return clock.now_us()


def _part(syntax: Syntax, spans: ZoneSpans, name: str, dst: str) -> Part:
    if isinstance(syntax, StartupSyntax):
        return Instants()
    if isinstance(syntax, AtSyntax):
        return Instants(syntax.at_us)
    walls = walls_of(syntax, name)
    if _is_never(syntax, walls):
        raise _never(syntax)
    # A calendar event may name its own zone; every other form is read in the job's.
    own = getattr(syntax, "zone", None)
    return timeline_of(syntax, walls, spans_of(own) if own else spans, dst)


def _is_never(syntax: Syntax, walls: Walls) -> bool:
    days = _SAMPLE_DAYS_OF_YEARS if getattr(syntax, "has_years", False) else (_SAMPLE_DAY,)
    return all(walls.first(day * DAY_S) >= NEVER for day in days)


def _never(syntax: Syntax) -> ScheduleError:
    message = "the schedule has no fire time within 50 years"
    if isinstance(syntax, CronSyntax):
        return syntax.days.error(message, "no month named here has such a day")
    return syntax.piece.error(message, "its days, dates and times never meet")


def walls_of(syntax: Syntax, name: str) -> Walls:
    """The wall times that one part names."""
    if isinstance(syntax, CronSyntax):
        return walls_of_cron(syntax, name)
    from cronq.schedule.every import EverySyntax, NthSyntax, walls_of_every, walls_of_nth

    if isinstance(syntax, EverySyntax):
        return walls_of_every(syntax)
    if isinstance(syntax, NthSyntax):
        return walls_of_nth(syntax, name)
    from cronq.schedule.oncalendar import CalendarSyntax, walls_of_calendar

    if not isinstance(syntax, CalendarSyntax):
        raise InvariantError(f"no wall times for {syntax!r}")
    return walls_of_calendar(syntax)


def timeline_of(syntax: Syntax, walls: Walls, spans: ZoneSpans, dst: str) -> Timeline:
    """The fire times of wall times under a clock-change policy (rules 15 and 16)."""
    is_interval = syntax.is_interval
    repeats = dst == "both" or (dst == "cron" and is_interval)
    return Timeline(walls, spans, repeats=repeats, moves=dst != "skip" and not is_interval)
