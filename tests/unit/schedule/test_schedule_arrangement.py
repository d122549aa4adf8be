"""Everything that a job's texts say, put together; and the whole sentence about it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from cronq.errors import ScheduleError
from cronq.plan import FireTimes
from cronq.schedule import arrange, parse
from cronq.schedule.blackout import read_blackouts
from cronq.schedule.bounds import read_bounds
from cronq.schedule.calendar_uses import read_uses
from cronq.schedule.calendars import calendar_from_text
from cronq.schedule.describe import describe
from cronq.schedule.placement import parse_jitter
from cronq.schedule.schedule import us_from_datetime

NOW = datetime(2026, 9, 28, 12, tzinfo=UTC)
KNOWN = {"x": calendar_from_text("x", "2026-12-25 Christmas\n"), "y": calendar_from_text("y", "2026-12-28\n")}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_an_arrangement_is_what_the_planner_asks() -> None:
    times: FireTimes = arrange("0 9 * * *", calendars=["x:skip"], known=KNOWN)
    found = list(times.iter_us(us_from_datetime(utc("2026-12-24")), us_from_datetime(utc("2026-12-27"))))
    assert found == [us_from_datetime(utc("2026-12-24T09:00")), us_from_datetime(utc("2026-12-26T09:00"))]


def test_a_plain_schedule_has_no_layers() -> None:
    times = arrange("*/5 * * * *")
    assert times.next_us.__self__ is times.schedule  # type: ignore[attr-defined]
    assert (times.bounds, times.uses, times.at_startup) == (None, (), False)
    assert arrange("@reboot").at_startup


def test_bounds_hold_for_moved_runs_too() -> None:
    times = arrange("0 9 * * 5", until="2026-12-26", calendars=["x:next"], known=KNOWN)
    assert times.next(utc("2026-12-20")) is None
    times = arrange("0 9 * * 5", start="2026-12-26", until="2026-12-28", calendars=["x:next"], known=KNOWN)
    assert list(times.between(utc("2026-01-01"), utc("2027-12-31"))) == [utc("2026-12-28T09:00")]
    assert times.prev(utc("2027-01-01")) == utc("2026-12-28T09:00")
    assert times.notes_at(utc("2026-12-28T09:00")) == "moved from Fri 2026-12-25 (x: Christmas)"
    assert times.next(utc("2026-12-28T09:00")) is None


def test_arrangements_are_remembered_by_what_they_say() -> None:
    known = {"x": calendar_from_text("x", "2026-12-25 Christmas\n")}
    first = arrange("0 9 * * *", calendars=["x:skip"], known=KNOWN, start="2026-01-01")
    assert arrange("0 9 * * *", calendars=("x:skip",), known=known, start="2026-01-01") is first
    changed = {"x": calendar_from_text("x", "2026-12-24\n")}
    assert arrange("0 9 * * *", calendars=["x:skip"], known=changed, start="2026-01-01") is not first
    assert "calendars=['x:skip']" in repr(first)


def test_both_notes_stand_side_by_side() -> None:
    known = {"x": calendar_from_text("x", "2027-03-26\n2027-10-29\n")}
    times = arrange("0 3 * * *", tz="Europe/Berlin", calendars=["x:next"], known=known)
    assert times.notes_at(utc("2027-03-29T01:00")) == "also for Fri 2027-03-26 (x)"
    both = arrange("0 1 * * *", tz="Atlantic/Azores", calendars=["x:previous"], known=known)
    assert both.notes_at(utc("2027-06-01T01:00")) is None


def test_warnings_outside_of_the_bounds_are_left_out() -> None:
    texts = [warning.message for warning in arrange("30 2 * * *", tz="Europe/Berlin").warnings(NOW)]
    assert len(texts) == 2
    times = arrange("30 2 * * *", tz="Europe/Berlin", start="2027-01-01")
    assert [warning.date for warning in times.warnings(NOW)] == ["2027-03-28"]
    times = arrange("*/70 12 * * *", tz="Europe/Berlin", until="2026-12-31")
    assert [warning.date for warning in times.warnings(NOW)] == [None]
    over = arrange("30 2 * * *", start="2020-01-01", until="2021-01-01")
    assert [warning.message for warning in over.warnings(NOW)] == ["no fire time is left within its bounds"]


def test_calendars_that_leave_nothing_are_warned_about() -> None:
    known = {"x": calendar_from_text("x", "*-12-25\n")}
    times = arrange("0 9 25 12 *", calendars=["x:skip"], known=known)
    assert [warning.message for warning in times.warnings(NOW)] == [
        "its calendars leave no fire time within 50 years"
    ]
    assert times.next(NOW) is None


def test_errors_come_from_the_text_that_is_wrong() -> None:
    with pytest.raises(ScheduleError, match="no calendar named `z`"):
        arrange("@daily", calendars=["z:skip"], known=KNOWN)
    with pytest.raises(ScheduleError, match="before `from`"):
        arrange("@daily", start="2027-01-01", until="2026-01-01")


@pytest.mark.parametrize(
    ("bounds", "calendars", "blackouts", "jitter", "expected"),
    [
        (("", ""), [], [], "", "at 09:00 every day"),
        (
            ("2026-01-01", "2026-12-31"),
            [],
            [],
            "5m",
            "at 09:00 every day, from 2026-01-01, until 2026-12-31, up to 5m later",
        ),
        (
            ("", ""),
            ["x:skip", "y:skip"],
            [],
            "random:90s",
            "at 09:00 every day, not on x or y, up to 1m30s later, each time another",
        ),
        (
            ("", ""),
            ["x:next", "y:previous"],
            ["sat,sun:drop", "02:00-04:00:defer", "2026-12-24:drop"],
            "",
            "at 09:00 every day, on the next business day instead of x, on the business day before instead "
            "of y, not 02:00-04:00 (waits for the end), not sat,sun or on 2026-12-24 (skipped)",
        ),
    ],
)
def test_the_whole_sentence(
    bounds: tuple[str, str], calendars: list[str], blackouts: list[str], jitter: str, expected: str
) -> None:
    sentence = describe(
        parse("0 9 * * *"),
        read_bounds(*bounds, tz="UTC") if any(bounds) else None,
        read_uses(calendars, KNOWN),
        read_blackouts(tuple(blackouts), "UTC") if blackouts else None,
        parse_jitter(jitter) if jitter else None,
    )
    assert sentence == expected


def test_the_layers_are_imported_when_they_are_used() -> None:
    code = (
        "import sys; from cronq.schedule import arrange; arrange('*/5 * * * *')\n"
        "print(*(name for name in sys.modules if name.startswith(('cronq.schedule.', 'holidays', 'difflib',"
        " 'croniter', 'dateutil', 'hashlib'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    names = set(done.stdout.split())
    layers = {"shift", "bounds", "calendars", "holiday_package", "ics", "blackout", "assertions", "describe"}
    assert not names & {f"cronq.schedule.{layer}" for layer in layers}
    assert not names & {"holidays", "difflib", "croniter", "dateutil", "hashlib"}


def test_fire_times_strictly_increase_over_a_year_of_holidays() -> None:
    pytest.importorskip("holidays", reason="the extra `calendars` is not installed")
    times = arrange("*/30 * * * *", tz="Europe/Berlin", calendars=["de-by-holidays:next"])
    found = list(times.between(utc("2026-01-01"), utc("2027-01-01")))
    assert all(left < right for left, right in pairwise(found))
    assert len(found) == times.count_us(
        us_from_datetime(utc("2026-01-01")), us_from_datetime(utc("2027-01-01"))
    )
