"""`cronq next --count` and `--calendar`: how many fire times there are in days, weeks and months."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from cronq.cli._asked import Asked, common_zone
from cronq.cli.next import schedule_documents, tell_what
from cronq.errors import ExitCode
from cronq.model import SECOND, Micros
from cronq.render.months import Day, month_lines
from cronq.render.table import Column, table
from cronq.render.text import Tone, Word, cut, plain
from cronq.render.times import iso, local

if TYPE_CHECKING:
    from cronq.cli._session import Session
    from cronq.schedule.spans import ZoneSpans

_MOST = 100_000
_USUAL = {"day": 7, "week": 5, "month": 12}
_USUAL_MONTHS = 3
_LAST = date(2199, 12, 31)
_EPOCH = date(1970, 1, 1)


class Counted(NamedTuple):
    """A period and how many fire times it has, for each that was asked about."""

    first: date
    start: Micros
    end: Micros
    counts: tuple[int, ...]
    is_change: bool

    @property
    def total(self) -> int:
        """The fire times of all."""
        return sum(self.counts)


def answer_counts(
    session: Session, asked: list[Asked], unit: str, after: Micros, before: Micros | None, limit: int | None
) -> int:
    """Say how many fire times there are in each day, week or month."""
    wanted = limit or (_USUAL[unit] if before is None else _MOST)
    found = list(islice(_counted(session, asked, unit, after, before), wanted))
    if session.for_people:
        _tell_counts(session, asked, unit, found)
    else:
        _answer_machines(session, asked, unit, found)
    return _exit_code(found)


def answer_months(
    session: Session, asked: list[Asked], after: Micros, before: Micros | None, limit: int | None
) -> int:
    """Draw months with a count for each day."""
    wanted = limit or (_USUAL_MONTHS if before is None else _MOST)
    months = list(
        islice(_firsts("month", _day_of(session, asked, after), _end(session, asked, before)), wanted)
    )
    found: list[Counted] = []
    for first in months:
        found += _counted_days(session, asked, first, _following("month", first))
    if not session.for_people:
        _answer_machines(session, asked, "day", found)
        return _exit_code(found)
    tz = common_zone(session, asked)
    tell_what(session, asked, tz)
    days = [Day(one.first, one.total, one.is_change) for one in found]
    session.line()
    session.lines(month_lines(days, session.terminal.style))
    return _exit_code(found)


def _exit_code(found: Sequence[Counted]) -> int:
    return int(ExitCode.OK if any(one.total for one in found) else ExitCode.FAILED)


def _day_of(session: Session, asked: list[Asked], at: Micros) -> date:
    return local(at, session.zone(common_zone(session, asked))).date()


def _end(session: Session, asked: list[Asked], before: Micros | None) -> date:
    """Return the first day that is not wanted any more."""
    return _LAST if before is None else _day_of(session, asked, before - 1) + timedelta(days=1)


def _firsts(unit: str, day: date, end: date) -> Iterator[date]:
    if unit == "week":
        day -= timedelta(days=day.weekday())
    elif unit == "month":
        day = day.replace(day=1)
    while day < end:
        yield day
        day = _following(unit, day)


def _following(unit: str, first: date) -> date:
    if unit == "month":
        return (first + timedelta(days=31)).replace(day=1)
    return first + timedelta(days=7 if unit == "week" else 1)


def _counted(
    session: Session, asked: list[Asked], unit: str, after: Micros, before: Micros | None
) -> Iterator[Counted]:
    spans = _spans(session, asked)
    for first in _firsts(unit, _day_of(session, asked, after), _end(session, asked, before)):
        yield _count(asked, spans, first, _following(unit, first))


def _counted_days(session: Session, asked: list[Asked], first: date, end: date) -> Iterator[Counted]:
    spans = _spans(session, asked)
    return (_count(asked, spans, day, _following("day", day)) for day in _firsts("day", first, end))


def _spans(session: Session, asked: list[Asked]) -> ZoneSpans:
    from cronq.schedule.spans import spans_of

    return spans_of(common_zone(session, asked))


def _count(asked: list[Asked], spans: ZoneSpans, first: date, end: date) -> Counted:
    start, stop = _midnight(spans, first), _midnight(spans, end)
    counts = tuple(one.times.count_us(start * SECOND, stop * SECOND) for one in asked)
    return Counted(first, start * SECOND, stop * SECOND, counts, bool(spans.changes(start, stop)))


def _midnight(spans: ZoneSpans, day: date) -> int:
    return spans.first_instant((day - _EPOCH).days * 86_400)


def _named(unit: str, first: date) -> str:
    if unit == "month":
        return first.strftime("%Y-%m")
    return first.strftime("%a %Y-%m-%d")


def _tell_counts(session: Session, asked: list[Asked], unit: str, found: Sequence[Counted]) -> None:
    tell_what(session, asked, common_zone(session, asked))
    session.line()
    has_changes = any(one.is_change for one in found)
    titles = [cut(plain(one.label).upper(), 20) for one in asked] if len(asked) > 1 else ["FIRE TIMES"]
    columns = [Column(unit.upper()), *(Column(title, right=True) for title in titles)]
    rows = [
        [
            Word(_named(unit, one.first) + ("*" if one.is_change else " " if has_changes else "")),
            *(Word(str(count), Tone.PLAIN if count else Tone.DIM) for count in one.counts),
        ]
        for one in found
    ]
    session.lines(table(columns, rows, session.terminal.style, header=session.header))
    if has_changes:
        session.words(Word("* the clocks change", Tone.DIM))


def _answer_machines(session: Session, asked: list[Asked], unit: str, found: Sequence[Counted]) -> None:
    if not session.options.json:
        session.rows(
            [unit, "name", "count", "clock_change"],
            (
                [one.first.isoformat(), each.label, str(count), "yes" if one.is_change else ""]
                for one in found
                for each, count in zip(asked, one.counts, strict=True)
            ),
        )
        return
    session.json(
        {
            "counts": [
                {
                    "unit": unit,
                    "first": one.first.isoformat(),
                    "starts_at": iso(one.start),
                    "ends_at": iso(one.end),
                    "tz": common_zone(session, asked),
                    "schedule": each.text,
                    "job": each.job.name if each.job else None,
                    "count": count,
                    "clock_change": one.is_change,
                }
                for one in found
                for each, count in zip(asked, one.counts, strict=True)
            ],
            "schedules": schedule_documents(session, asked),
        }
    )
