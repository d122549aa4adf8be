"""Instants and durations in words."""

from __future__ import annotations

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

import pytest

from cronq.model import SECOND, Micros
from cronq.render import times

NOW: Micros = 1_767_340_800 * SECOND  # Fri 2026-01-02 08:00 UTC
BERLIN = ZoneInfo("Europe/Berlin")
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND


@pytest.mark.parametrize(
    ("away", "units", "said"),
    [
        (0, 1, "now"),
        (999_999, 1, "now"),
        (-999_999, 1, "now"),
        (SECOND, 1, "in 1s"),
        (-SECOND, 1, "1s ago"),
        (9_700_000, 1, "in 10s"),
        (59 * SECOND, 1, "in 59s"),
        (60 * SECOND, 1, "in 1m"),
        (65 * MINUTE, 1, "in 1h"),
        (65 * MINUTE, 2, "in 1h 5m"),
        (HOUR, 2, "in 1h"),
        (HOUR + 5 * SECOND, 2, "in 1h"),
        (-(2 * DAY + 3 * HOUR), 2, "2d 3h ago"),
        (29 * DAY, 1, "in 29d"),
        (30 * DAY, 1, "2026-02-01"),
        (-30 * DAY, 1, "2025-12-03"),
    ],
)
def test_relative(away: Micros, units: int, said: str) -> None:
    assert times.relative(NOW + away, NOW, UTC, units=units) == said


@pytest.mark.parametrize(
    ("away", "zone", "said"),
    [
        (HOUR, UTC, "09:00"),
        (10 * SECOND, UTC, "08:00:10"),
        (15 * HOUR, UTC, "23:00"),
        (15 * HOUR, BERLIN, "Sat 00:00"),
        (6 * DAY, UTC, "Thu 08:00"),
        (7 * DAY, UTC, "2026-01-09 08:00"),
        (-9 * HOUR, UTC, "Thu 23:00"),
    ],
)
def test_wall(away: Micros, zone: tzinfo, said: str) -> None:
    assert times.wall(NOW + away, NOW, zone) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0ms"),
        (0.0001, "<1ms"),
        (0.004, "4ms"),
        (0.9994, "999ms"),
        (0.9996, "1.0s"),
        (3.21, "3.2s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (250, "4m10s"),
        (3_599.6, "1h00m"),
        (7_500, "2h05m"),
        (90_000, "1d01h"),
    ],
)
def test_duration(seconds: float, said: str) -> None:
    assert times.duration(seconds) == said


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("UTC", "UTC"),
        ("Europe/Berlin", "UTC+1"),
        ("America/New_York", "UTC-5"),
        ("America/St_Johns", "UTC-3:30"),
        ("Asia/Kathmandu", "UTC+5:45"),
    ],
)
def test_offset(zone: str, said: str) -> None:
    assert times.offset(NOW, ZoneInfo(zone)) == said


def test_offset_change_names_both_sides_of_a_clock_change() -> None:
    assert times.offset_change(NOW + 90 * DAY, NOW, BERLIN) == "(UTC+1 → UTC+2)"
    assert times.offset_change(NOW + DAY, NOW, BERLIN) == ""


def test_iso_has_fractions_only_if_there_are_any() -> None:
    assert times.iso(NOW) == "2026-01-02T08:00:00Z"
    assert times.iso(NOW + 1) == "2026-01-02T08:00:00.000001Z"
    assert times.iso(None) is None


def test_iso_local_tells_the_two_passes_of_a_repeated_hour_apart() -> None:
    first = 1_792_888_200 * SECOND  # 2026-10-25 02:30 summer time
    assert times.iso_local(first, BERLIN) == "2026-10-25T02:30:00+02:00"
    assert times.iso_local(first + HOUR, BERLIN) == "2026-10-25T02:30:00+01:00"
