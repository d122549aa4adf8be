"""Corners of single modules that no ordinary schedule reaches."""

from __future__ import annotations

import sys
import zoneinfo
from datetime import UTC, datetime, timedelta, tzinfo
from types import ModuleType, SimpleNamespace

import pytest

from cronq.errors import InvariantError, ScheduleError
from cronq.schedule import parse, zones
from cronq.schedule.days import FIRST_DAY, LAST_DAY, NEVER, CronDays, EveryDay, Weekdays, month_length
from cronq.schedule.fields import MINUTE, WEEKDAY, FieldSyntax, Item
from cronq.schedule.interval import DailyWalls, SteadyWalls
from cronq.schedule.masks import mask_of
from cronq.schedule.nth import DaySteps
from cronq.schedule.parse import walls_of
from cronq.schedule.pieces import Piece
from cronq.schedule.spans import ZoneSpans
from cronq.schedule.syntax import StartupSyntax
from cronq.schedule.union import Instants
from cronq.schedule.walls import DAY_S


def test_day_sets_end_with_the_calendar() -> None:
    leap = CronDays(0b10, 1 << 28, 127, both=True)
    assert leap.first(LAST_DAY + 1) == NEVER
    assert leap.last(FIRST_DAY - 1) == -NEVER
    assert leap.first(FIRST_DAY - 1000) == leap.first(FIRST_DAY)
    assert leap.last(LAST_DAY + 1000) == leap.last(LAST_DAY)
    assert CronDays(0b10, 1 << 29, 127, both=True).last(20_000) == -NEVER
    assert EveryDay().first(LAST_DAY + 1) == Weekdays(127).first(LAST_DAY + 1) == NEVER
    assert EveryDay().last(FIRST_DAY - 1) == Weekdays(127).last(FIRST_DAY - 1) == -NEVER


def test_months_have_their_lengths() -> None:
    assert [month_length(2023, month) for month in (1, 2, 4)] == [31, 28, 30]
    assert [month_length(year, 2) for year in (1900, 2000, 2024, 2100)] == [28, 29, 29, 28]


def test_steps_of_whole_weeks_may_miss_a_weekday() -> None:
    tuesdays = DaySteps(7, 4, 1 << 2)
    assert tuesdays.first(0) == NEVER
    assert tuesdays.last(0) == -NEVER
    assert DaySteps(1, 4, 127).first(LAST_DAY + 1) == NEVER
    with pytest.raises(ScheduleError, match="no fire time"):
        parse("every 7 days on tue")


def test_counts_of_empty_ranges_are_nothing() -> None:
    assert DailyWalls(EveryDay(), (range(0, 100, 10),)).count(50, 50) == 0
    assert SteadyWalls(60, 0).count(100, 10) == 0
    # 1970-01-01 was a Thursday.
    assert SteadyWalls(3600, 0, 1 << 4).count(0, 7 * DAY_S) == 24


def test_instants_outside_are_left_out() -> None:
    instants = Instants(10, 20)
    assert list(instants.chunks(0, 10)) == []
    assert [base for base, _ in instants.chunks(10, 20)] == [10]
    assert (instants.next_us(10), instants.prev_us(10), instants.count_us(0, 21)) == (20, None, 2)


def test_what_has_no_wall_times_is_a_bug() -> None:
    with pytest.raises(InvariantError):
        walls_of(StartupSyntax(Piece("@reboot", 0, 7)), "")


def test_what_croniter_refuses_after_our_checks_is_a_bug() -> None:
    wrong = (Item("range", 80, 70, 0, 0, 5),)
    with pytest.raises(InvariantError):
        mask_of(FieldSyntax(MINUTE, "80-70", 0, wrong), "")


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("6-5", 127),
        ("mon-wed,fri-sun/2", 0b0101111),
        ("7-2,4", 0b0010111),
        ("sat-7,0", 0b1000001),
        ("7-0,1", 0b0000011),
    ],
)
def test_weekday_ranges_that_go_round(text: str, days: int) -> None:
    from cronq.schedule.fields import read_field

    assert mask_of(read_field(Piece(text, 0, len(text)), WEEKDAY), "") == days


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("every from 09:00", "`every` needs an interval before this"),
        ("every 20000d", "the interval is longer than 50 years"),
        ("in ; @daily", "`in` needs a time after it"),
        ("at ; @daily", "`at` needs a time after it"),
    ],
)
def test_rarer_refusals(text: str, message: str) -> None:
    with pytest.raises(ScheduleError) as raised:
        parse(text)
    assert raised.value.message == message


def test_a_window_may_end_with_the_day() -> None:
    found = parse("every 6h between 12:00-24:00").between(
        datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, 1, tzinfo=UTC)
    )
    assert [fire.hour for fire in found] == [12, 18]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0 12 */1 * *", "at 12:00 on every day of the month"),
        ("5 1,3,5,9,11,13,20 * * *", "at minute 5 of hours 1, 3, 5, 9, 11, 13 and 20"),
        ("1,2,3,5 */4 * * *", "at minutes 1 to 3 and 5 of every 4th hour from 0"),
    ],
)
def test_rarer_sentences(text: str, sentence: str) -> None:
    assert parse(text).explain() == sentence


class ChangesAt(tzinfo):
    """A zone that goes from UTC to an hour ahead at one instant."""

    def __init__(self, second: int) -> None:
        self.change = datetime.fromtimestamp(second, UTC).replace(tzinfo=self)

    def fromutc(self, at: datetime) -> datetime:
        return at if at < self.change else at + timedelta(hours=1)

    def utcoffset(self, at: datetime | None) -> timedelta:
        return timedelta(hours=1 if at is not None and at >= self.change else 0)

    def dst(self, at: datetime | None) -> None:
        return None

    def tzname(self, at: datetime | None) -> None:
        return None


def test_a_change_between_two_blocks_is_found() -> None:
    border = 50 * 365 * DAY_S
    for second in (border - 1, border, border + 1):
        spans = ZoneSpans(ChangesAt(second))
        (change,) = spans.changes(border - 10 * DAY_S, border + 10 * DAY_S)
        assert (change.start, change.before, change.offset) == (second, 0, 3600)
        assert spans.at(second - 1).offset == 0


def test_either_source_of_zones_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoneinfo, "TZPATH", ("/nowhere",))
    zones._ranked.cache_clear()
    try:
        assert zones.tzdata_version().source == "package"
        monkeypatch.setitem(sys.modules, "tzdata", None)
        zones._ranked.cache_clear()
        assert zones.tzdata_version() == ("none", "none")
        bare = ModuleType("tzdata")
        bare.__file__ = None
        monkeypatch.setitem(sys.modules, "tzdata", bare)
        assert zones._package_folder() is None
        monkeypatch.setitem(sys.modules, "tzdata", SimpleNamespace(__file__="/x/tzdata/__init__.py"))
        folder = zones._package_folder()
        assert folder is not None
        assert folder[0].version == "unknown"
    finally:
        zones._ranked.cache_clear()


def test_no_sign_of_a_zone_means_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "")
    monkeypatch.setattr(zones, "_first_line", lambda _: "Etc/UTC")
    assert zones.local_zone_name() == "UTC"
    monkeypatch.setattr(zones, "_first_line", lambda _: "")
    monkeypatch.setattr(zones, "_link_key", lambda _: "")
    assert zones.local_zone_name() == "UTC"


@pytest.mark.parametrize("text", ["oncalendar: 2026-05-01 02:30", "every day at 02:30 from 2026-04-10"])
def test_before_a_first_day_nothing_is_found_across_a_gap(text: str) -> None:
    schedule = parse(text, tz="Europe/Berlin")
    assert schedule.prev(datetime(2026, 3, 29, 4, tzinfo=UTC)) is None


def test_every_second_month_leaves_the_others_empty() -> None:
    schedule = parse("every 24 months on 15 from 2026-01-01")
    # January of 2027 is in the months that may hold a day, and holds none.
    assert schedule.next(datetime(2026, 1, 16, tzinfo=UTC)) == datetime(2028, 1, 15, tzinfo=UTC)
