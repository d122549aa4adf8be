"""Calendars: what files and the package say, and what becomes of fire times on their dates."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime

import pytest

from cronq.errors import ScheduleError
from cronq.schedule import arrange, parse
from cronq.schedule.calendar_uses import CalendarUse, read_use, read_uses
from cronq.schedule.calendars import (
    Calendar,
    DatedCalendar,
    calendar_from_text,
    check_name,
    listing,
)
from cronq.schedule.ics import read_ics
from cronq.schedule.schedule import us_from_datetime
from cronq.schedule.shift import Shifted
from cronq.schedule.zones import zone

YEAR = (date(2026, 1, 1), date(2026, 12, 31))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def us(text: str) -> int:
    return us_from_datetime(utc(text))


def listed(calendar: Calendar, first: date = YEAR[0], last: date = YEAR[1]) -> list[str]:
    return [f"{day} {label}".rstrip() for day, label in listing(calendar, first, last)]


def fires(
    text: str, uses: Sequence[str], dates: str, low: str, high: str, tz: str = "UTC", dst: str = "cron"
) -> list[str]:
    """The fire times between two instants under the calendar `x` of some dates, on the zone's clock."""
    known = {"x": calendar_from_text("x", dates), "y": calendar_from_text("y", "2026-12-28\n")}
    times = arrange(text, tz=tz, dst=dst, calendars=uses, known=known)
    found = times.between(utc(low), utc(high))
    return [f"{fire.astimezone(zone(tz)):%a %m-%d %H:%M}" for fire in found]


def test_a_file_of_dates_ranges_labels_and_comments() -> None:
    text = (
        "\ufeff# closed\n\n2026-05-07\tbridge  day # no school\r\n"
        "  2026-12-30..2027-01-02 between\n*-02-29 leap\n2026/4-03-14\n"
    )
    calendar = calendar_from_text("office", text)
    assert listed(calendar) == [
        "2026-03-14",
        "2026-05-07 bridge day",
        "2026-12-30 between",
        "2026-12-31 between",
    ]
    assert listed(calendar, date(2028, 1, 1), date(2030, 12, 31)) == ["2028-02-29 leap", "2030-03-14"]
    canonical = "*-02-29 leap\n2026/4-03-14\n2026-05-07 bridge day\n2026-12-30..2027-01-02 between\n"
    assert calendar.to_text() == canonical
    assert calendar_from_text("office", canonical) == calendar
    assert hash(calendar_from_text("office", canonical)) == hash(calendar)
    assert calendar != calendar_from_text("other", canonical)
    assert repr(calendar).startswith("DatedCalendar('office', ")


def test_a_day_named_twice_has_both_labels() -> None:
    calendar = calendar_from_text("x", "2026-01-01..2026-01-02 a\n2026-01-02 b\n2026-01-02\n2026-01-02 a\n")
    assert listed(calendar) == ["2026-01-01 a", "2026-01-02 a; b"]
    assert calendar_from_text("x", calendar.to_text()) == calendar


def test_a_calendar_of_nothing_holds_nothing() -> None:
    calendar = calendar_from_text("x", "# nothing\n")
    assert (listed(calendar), calendar.to_text()) == ([], "")
    assert fires("0 9 * * *", ["x:skip"], "", "2026-12-24", "2026-12-25") == ["Thu 12-24 09:00"]


def test_names_of_calendars() -> None:
    assert check_name("office-2027.v1_b") == "office-2027.v1_b"


def test_a_long_line_is_refused() -> None:
    with pytest.raises(ScheduleError, match="line 2: the line is too long"):
        calendar_from_text("x", "\n2026-01-01 " + "x" * 2000)
    with pytest.raises(ScheduleError, match="characters, more than"):
        calendar_from_text("x", "x" * 2_000_001)
    with pytest.raises(ScheduleError, match="characters, more than"):
        read_ics("x" * 2_000_001)


ICS = """BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VTIMEZONE
TZID:Europe/Berlin
BEGIN:STANDARD
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
END:VTIMEZONE
{events}
END:VCALENDAR
"""


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            "DTSTART;VALUE=DATE:20261224\nSUMMARY:Christmas\n  Eve\\, closed",
            ["2026-12-24 Christmas Eve, closed"],
        ),
        ("DTSTART;VALUE=DATE:20261230\nDTEND;VALUE=DATE:20270102", ["2026-12-30", "2026-12-31"]),
        ("DTSTART:20261224T220000Z\nDTEND:20261225T040000Z", ["2026-12-24", "2026-12-25"]),
        (
            "DTSTART;TZID=Europe/Berlin:20261224T180000\nDTEND;TZID=Europe/Berlin:20261225T000000",
            ["2026-12-24"],
        ),
        ('DTSTART;X-A="b:c;d";TZID=UTC:20261224T180000', ["2026-12-24"]),
        ("DTSTART:20261224T180000\nDURATION:PT8H", ["2026-12-24", "2026-12-25"]),
        ("DTSTART:20261224\nDURATION:P2D", ["2026-12-24", "2026-12-25"]),
        ("DTSTART:20261224\nDURATION:P1W\nSUMMARY:a #1", [f"2026-12-{day} a 1" for day in range(24, 31)]),
        ("DTSTART:20200314\nRRULE:FREQ=YEARLY\nSUMMARY:Pi", ["2026-03-14 Pi"]),
        ("DTSTART:20200314\nRRULE:FREQ=YEARLY;INTERVAL=4", []),
        ("DTSTART:20200314\nRRULE:FREQ=YEARLY;COUNT=6", []),
        ("DTSTART:20200314\nRRULE:FREQ=YEARLY;COUNT=7;WKST=MO", ["2026-03-14"]),
        ("DTSTART:20200314\nRRULE:FREQ=YEARLY;UNTIL=20260313", []),
        ("DTSTART:20200314\nRRULE:FREQ=YEARLY;UNTIL=20260314T000000Z", ["2026-03-14"]),
        ("DTSTART:20200314\nRRULE:FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=14", ["2026-03-14"]),
        ("DTSTART:20200314\nDTEND:20200316\nRRULE:FREQ=YEARLY", ["2026-03-14", "2026-03-15"]),
        ("DTSTART:20261224\nDTEND:20261224", ["2026-12-24"]),
        ("DTSTART:20261224\nSTATUS:CANCELLED", []),
        ("BEGIN:VALARM\nTRIGGER:-PT1H\nDTSTART:20260101\nEND:VALARM\nDTSTART:20261224", ["2026-12-24"]),
    ],
)
def test_events_of_an_ics_file(event: str, expected: list[str]) -> None:
    text = ICS.format(events=f"BEGIN:VEVENT\n{event}\nEND:VEVENT").replace("\n", "\r\n")
    calendar = DatedCalendar("x", read_ics(text))
    assert listed(calendar) == expected
    assert calendar_from_text("x", calendar.to_text()) == calendar


def test_too_many_days_in_an_ics_file_are_refused() -> None:
    event = "BEGIN:VEVENT\nDTSTART:19700101\nDTEND:21991231\nEND:VEVENT\n"
    with pytest.raises(ScheduleError, match="line 18: more than 200000 days"):
        read_ics(ICS.format(events=event * 3).replace("\n\n", "\n"))


SHIFTS = [
    # Fri 25 December 2026 is a holiday; the weekend follows.
    ("0 9 * * 4-7", ["x:skip"], "2026-12-25", ["Thu 12-24 09:00", "Sat 12-26 09:00", "Sun 12-27 09:00"]),
    ("0 9 * * 5", ["x:skip"], "2026-12-25", []),
    ("0 9 * * 5", ["x:next"], "2026-12-25", ["Mon 12-28 09:00"]),
    ("0 9 * * 5", ["x:previous"], "2026-12-25", ["Thu 12-24 09:00"]),
    # Two that land on one instant are one; Saturday is no holiday, so it stays.
    (
        "0 9 * * 5-7,1",
        ["x:next"],
        "2026-12-25",
        ["Sat 12-26 09:00", "Sun 12-27 09:00", "Mon 12-28 09:00"],
    ),
    ("0 9 * * 4,5", ["x:previous"], "2026-12-25", ["Thu 12-24 09:00"]),
    # Other wall times of that day stay where they are, in order.
    (
        "0 9 * * 5 ; 0 8,10 * * 1",
        ["x:next"],
        "2026-12-25",
        ["Mon 12-28 08:00", "Mon 12-28 09:00", "Mon 12-28 10:00"],
    ),
    # A business day is outside of all calendars: Monday is in `y`.
    ("0 9 * * 5", ["x:next", "y:skip"], "2026-12-25", ["Tue 12-29 09:00"]),
    ("0 9 * * 5 ; 0 8 * * 1", ["x:next", "y:skip"], "2026-12-25", ["Tue 12-29 09:00"]),
    ("0 9 * * 1", ["x:previous", "y:next"], "2026-12-28", ["Fri 12-25 09:00"]),
    ("0 9 * * 1", ["y:next", "x:previous"], "2026-12-28", ["Tue 12-29 09:00"]),
    ("0 9 * * 1", ["x:previous", "y:skip"], "2026-12-28", []),
    ("0 9 * * 5", ["x:next"], "2026-12-25..2026-12-29", ["Wed 12-30 09:00"]),
]


@pytest.mark.parametrize(("text", "uses", "dates", "expected"), SHIFTS)
def test_what_becomes_of_a_fire_time_on_a_holiday(
    text: str, uses: list[str], dates: str, expected: list[str]
) -> None:
    assert fires(text, uses, dates, "2026-12-24T05:00", "2026-12-30T23:00") == expected


def test_a_moved_time_is_a_fixed_time_at_a_clock_change() -> None:
    # Sun 2027-03-28 02:30 is missing in Berlin; Easter Monday follows. Sao Paulo changes at midnight.
    zone_of_gap = "Asia/Amman"
    found = fires("30 0 * * 4", ["x:next"], "2021-03-25", "2021-03-20", "2021-03-30", zone_of_gap)
    # Thursday's 00:30 goes to Friday, whose clock begins at 01:00.
    assert found == ["Fri 03-26 01:00"]
    # Nothing of a day lands in a gap that its fire times do not meet.
    found = fires("30 2 * * 4", ["x:next"], "2021-03-25", "2021-03-20", "2021-03-30", zone_of_gap)
    assert found == ["Fri 03-26 02:30"]
    # A repeated wall time is its first instant, even for a job that runs both.
    found = fires("*/30 1 * * 1", ["x:previous"], "2026-10-26", "2026-10-20", "2026-10-27", "Europe/London")
    assert found == ["Fri 10-23 01:00", "Fri 10-23 01:30"]


def test_the_clock_counts_on_which_the_date_is_read() -> None:
    # 23:30 UTC on Thursday is Friday in Berlin.
    assert fires("30 0 * * 5", ["x:skip"], "2026-12-25", "2026-12-24", "2026-12-26", "Europe/Berlin") == []


def test_notes_tell_where_a_run_comes_from() -> None:
    known = {"x": calendar_from_text("x", "2026-12-25 Christmas\n2026-12-28\n")}
    times = arrange("0 9 * * 5,1 ; 0 10 * * 2", calendars=["x:next"], known=known)
    assert (
        times.notes_at(utc("2026-12-29T09:00"))
        == "moved from Fri 2026-12-25 (x: Christmas), Mon 2026-12-28 (x)"
    )
    assert times.notes_at(utc("2026-12-29T10:00")) is None
    daily = arrange("0 9 * * *", calendars=["x:next"], known=known)
    assert daily.notes_at(utc("2026-12-29T09:00")) == (
        "also for Fri 2026-12-25 (x: Christmas), Mon 2026-12-28 (x)"
    )
    known = {"x": calendar_from_text("x", "2026-12-07..2026-12-11 move\n")}
    assert arrange("0 9 * * *", calendars=["x:next"], known=known).notes_at(utc("2026-12-14T09:00")) == (
        "also for Mon 2026-12-07 (x: move), Tue 2026-12-08 (x: move), Wed 2026-12-09 (x: move), 2 more days"
    )
    changed = arrange("30 2 * * *", tz="Europe/Berlin", calendars=["x:skip"], known=known)
    assert changed.notes_at(utc("2027-03-28T01:00")) == "moved from 02:30 (clock change)"


def test_notes_tell_of_a_landing_in_a_gap() -> None:
    known = {"x": calendar_from_text("x", "2021-03-25 Independence\n")}
    times = arrange("30 0 * * 4", tz="Asia/Amman", calendars=["x:next"], known=known)
    assert times.notes_at(utc("2021-03-25T22:00")) == "moved from Thu 2021-03-25 (x: Independence)"
    assert times.prev(utc("2021-03-25T22:01")) == utc("2021-03-25T22:00")
    assert times.next(utc("2021-03-25T22:00")) == utc("2021-03-31T21:30")


@pytest.mark.parametrize("rule", ["skip", "next", "previous"])
def test_a_calendar_that_swallows_everything_ends(rule: str) -> None:
    everything = calendar_from_text("all", "1970-01-01..2199-12-31\n")
    times = Shifted(parse("*/5 * * * *"), (CalendarUse(everything, rule),), "UTC")
    now = us("2026-01-01")
    assert times.next_us(now) is None
    assert times.prev_us(now) is None
    assert list(times.iter_us(now, now + 10**12)) == []
    assert times.count_us(now, now + 10**12) == 0
    assert times.note_at(now) is None
    began = time.perf_counter()
    times.next_us(now)
    assert time.perf_counter() - began < 2


def test_far_from_the_calendars_a_schedule_is_itself() -> None:
    schedule = parse("0 9 * * *")
    times = Shifted(schedule, (CalendarUse(calendar_from_text("x", "*-01-01\n"), "next"),), "Europe/Berlin")
    for at in (us("1850-01-01"), us("2500-01-01")):
        assert times.next_us(at) == schedule.next_us(at)
        assert times.prev_us(at) == schedule.prev_us(at)
    assert times.next_us(1 << 59) is None
    assert times.prev_us(-(1 << 59)) is None
    assert times.note_at(1 << 59) is None


def test_a_search_is_quick() -> None:
    known = {"x": calendar_from_text("x", "*-01-01\n*-12-25\n2026-08-03..2026-08-21\n")}
    for text in ("* * * * *", "0 9 1 * *", "0 0 29 2 *", "*/5 * * * * *"):
        times = arrange(text, tz="Europe/Berlin", calendars=["x:next"], known=known)
        times.next_us(us("2026-07-31"))
        spent = []
        for day in range(1, 20):
            began = time.perf_counter()
            times.next_us(us(f"2027-{day % 12 + 1:02}-{day:02}"))
            spent.append(time.perf_counter() - began)
        assert sorted(spent)[10] < 0.005, text


def holidays() -> None:
    pytest.importorskip("holidays", reason="the extra `calendars` is not installed")


def test_holidays_of_countries_parts_and_markets() -> None:
    holidays()
    assert "2027-05-31 Memorial Day" in listed(
        read_use("us-holidays:skip", {}).calendar, date(2027, 5, 1), date(2027, 6, 1)
    )
    assert "2026-06-04 Corpus Christi" in listed(read_use("de-by-holidays:skip", {}).calendar)
    assert "2026-06-04 Corpus Christi" not in listed(read_use("DE-holidays:skip", {}).calendar)
    assert "2026-04-03 Good Friday" in listed(read_use("nyse-holidays:skip", {}).calendar)
    assert len(listed(read_use("us-ny-holidays:skip", {}).calendar)) > 10
    assert listed(read_use("au-nsw-holidays:skip", {}).calendar)


def test_a_holiday_moves_a_run_and_the_note_names_it() -> None:
    holidays()
    times = arrange("0 9 * * mon", tz="America/New_York", calendars=["us-holidays:next"])
    assert times.next(utc("2027-05-29")) == utc("2027-06-01T13:00")
    assert times.notes_at(utc("2027-06-01T13:00")) == "moved from Mon 2027-05-31 (us-holidays: Memorial Day)"


def test_the_stored_text_of_a_holiday_calendar_is_its_spec() -> None:
    holidays()
    calendar = read_use("us-ny-holidays:skip", {}).calendar
    assert calendar.to_text() == "holidays:US-NY"
    again = calendar_from_text("us-ny-holidays", "holidays:US-NY")
    assert (again, hash(again)) == (calendar, hash(calendar))
    assert again != calendar_from_text("x", "holidays:US-NY")
    assert again.label(-5) is None
    assert again.days(-500, -5) == []
    assert repr(again) == "HolidayCalendar('us-ny-holidays', 'US-NY')"
    with pytest.raises(ScheduleError, match="no holidays are known for `QQ`"):
        calendar_from_text("x", "holidays:QQ").label(20_000)


def test_a_missing_package_is_told_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from cronq.schedule import holiday_package

    for cached in (holiday_package._holidays, holiday_package._countries, holiday_package._markets):
        cached.cache_clear()
    monkeypatch.setitem(sys.modules, "holidays", None)
    with pytest.raises(ScheduleError, match="need the `holidays` package") as raised:
        read_use("us-holidays:skip", {})
    assert raised.value.hint == "pip install 'cronq-cli[calendars]'"
    # Reading what is stored asks for nothing; using it does.
    stored = calendar_from_text("us-holidays", "holidays:US")
    with pytest.raises(ScheduleError, match="need the `holidays` package"):
        stored.label(20_000)


def test_uses_have_a_normal_form() -> None:
    known = {"x": calendar_from_text("x", ""), "y": calendar_from_text("y", "")}
    assert [use.text for use in read_uses([" x:SKIP ", "y:next"], known)] == ["x:skip", "y:next"]
    assert read_uses([], known) == ()
