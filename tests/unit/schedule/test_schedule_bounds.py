"""`--from` and `--until`: dates of the zone and instants, both inclusive."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cronq.errors import InstantError
from cronq.schedule import arrange, parse
from cronq.schedule.bounds import Bounded, Bounds, read_bounds
from cronq.schedule.schedule import datetime_from_us, us_from_datetime

NOW = datetime(2026, 9, 28, 12, tzinfo=UTC)


def us(text: str) -> int:
    return us_from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("start", "until", "tz", "low", "high"),
    [
        ("2026-12-24", "2026-12-24", "UTC", "2026-12-24T00:00", "2026-12-25T00:00"),
        ("2026-12-24", "2026-12-24", "Europe/Berlin", "2026-12-23T23:00", "2026-12-24T23:00"),
        ("2026-12-24T18:00", "2026-12-24T18:00", "UTC", "2026-12-24T18:00", "2026-12-24T18:00:00.000001"),
        ("2026-12-24T18:00Z", "2026-12-25", "Europe/Berlin", "2026-12-24T18:00", "2026-12-25T23:00"),
        # The day begins at 01:00, since midnight is missing.
        ("2018-11-04", "2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00", "2018-11-05T02:00"),
        # A day of 25 hours.
        ("2026-10-25", "2026-10-25", "Europe/Berlin", "2026-10-24T22:00", "2026-10-25T23:00"),
    ],
)
def test_bounds_are_inclusive_and_local(start: str, until: str, tz: str, low: str, high: str) -> None:
    bounds = read_bounds(start, until, tz=tz)
    assert (bounds.low_us, bounds.high_us) == (us(low), us(high))
    assert (bounds.start, bounds.until) == (start, until)
    assert not bounds.is_open


def test_a_date_that_no_clock_showed_is_empty_but_shares_out_time() -> None:
    # Apia went from 29 to 31 December 2011.
    before = read_bounds(None, "2011-12-29", tz="Pacific/Apia")
    after = read_bounds("2011-12-31", None, tz="Pacific/Apia")
    assert before.high_us == after.low_us == us("2011-12-30T10:00")
    assert read_bounds(None, "2011-12-30", tz="Pacific/Apia").high_us == after.low_us


def test_tomorrow_is_a_date_and_so_lasts_to_its_end() -> None:
    bounds = read_bounds("today", "tomorrow", tz="Europe/Berlin", now_us=us_from_datetime(NOW))
    assert (bounds.start, bounds.until) == ("2026-09-28", "2026-09-29")
    assert (bounds.low_us, bounds.high_us) == (us("2026-09-27T22:00"), us("2026-09-29T22:00"))
    assert read_bounds(bounds.start, bounds.until, tz="Europe/Berlin") == bounds
    later = read_bounds("in 2h", None, tz="UTC", now_us=us_from_datetime(NOW))
    assert later.start == "2026-09-28T14:00:00Z"
    assert read_bounds(later.start, "", tz="UTC") == later


def test_relative_bounds_are_refused_where_there_is_no_now() -> None:
    with pytest.raises(InstantError, match="another instant each time"):
        arrange("@daily", start="tomorrow")
    assert arrange("@daily", start="tomorrow", now=NOW).bounds == read_bounds("2026-09-29", None, tz="UTC")


def test_bounded_fire_times_stop_at_both_ends() -> None:
    schedule = parse("0 12 * * *")
    times = Bounded(schedule, read_bounds("2026-01-02", "2026-01-04T12:00", tz="UTC"))
    days = ["2026-01-02T12:00", "2026-01-03T12:00", "2026-01-04T12:00"]
    assert list(times.iter_us(us("2020-01-01"), us("2030-01-01"))) == [us(day) for day in days]
    assert times.count_us(us("2020-01-01"), us("2030-01-01")) == 3
    assert times.next_us(us("2020-01-01")) == us(days[0])
    assert times.next_us(us(days[2])) is None
    assert times.prev_us(us("2030-01-01")) == us(days[2])
    assert times.prev_us(us(days[0])) is None
    assert list(times.iter_us(us("2027-01-01"), us("2030-01-01"))) == []
    assert times.count_us(us("2027-01-01"), us("2030-01-01")) == 0


def test_a_start_beyond_50_years_is_found() -> None:
    times = Bounded(parse("0 0 1 1 *"), read_bounds("2150-06-01", None, tz="UTC"))
    assert times.next_us(us("2026-01-01")) == us("2151-01-01")


def test_no_bounds_bound_nothing() -> None:
    assert read_bounds(None, "", tz="UTC") == Bounds()
    assert Bounds().is_open
    times = Bounded(parse("@daily"), Bounds())
    assert times.next_us(us("2026-01-01")) == us("2026-01-02")
    assert datetime_from_us(times.prev_us(us("2026-01-01")) or 0).year == 2025
