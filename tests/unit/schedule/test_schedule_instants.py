"""Durations and instants as people type them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cronq.errors import DurationError, InstantError, TimezoneError
from cronq.schedule.duration import format_duration, parse_duration
from cronq.schedule.instant import parse_instant

NOW = datetime(2026, 3, 28, 12, 0, 5, 250_000, tzinfo=UTC)
HINT = "write numbers with units, largest first: 90s, 5m, 1h30m, 2d, 1w, 250ms"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("2d", 172800),
        ("1w", 604800),
        ("250ms", 0.25),
        ("0s", 0),
        (" 5m ", 300),
        ("1.5h", 5400),
        ("1m0.5s", 60.5),
        ("1H", 3600),
        ("2hours", 7200),
        ("1w2d3h4m5s6ms", 788645.006),
        ("10min", 600),
        ("0.001s", 0.001),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "span", "message", "hint"),
    [
        ("10", (0, 2), "the duration `10` has no unit", "the unit is the point: 10s, 10m, 10h or 10d"),
        ("1h30", (2, 4), "`30` has no unit", "the unit is the point: 30s, 30m, 30h or 30d"),
        ("", (0, 0), "a duration is missing", HINT),
        ("5x", (1, 2), "unknown unit `x`", HINT),
        ("5m1h", (2, 4), "`1h` comes after a smaller or equal unit", HINT),
        ("5m5m", (2, 4), "`5m` comes after a smaller or equal unit", HINT),
        ("1.5h5m", (0, 3), "only the last part of a duration may have a fraction", HINT),
        ("-5m", (0, 3), "`-5m` is not a duration", HINT),
        ("abc", (0, 3), "`abc` is not a duration", HINT),
        ("5 m", (0, 1), "the duration `5` has no unit", "the unit is the point: 5s, 5m, 5h or 5d"),
        ("99999999w", (0, 9), "the duration is longer than 200 years", HINT),
        ("5" * 100, (0, 64), "the duration is too long to be one", HINT),
    ],
)
def test_durations_are_refused(text: str, span: tuple[int, int], message: str, hint: str) -> None:
    with pytest.raises(DurationError) as raised:
        parse_duration(text)
    assert (raised.value.span, raised.value.message, raised.value.hint) == (span, message, hint)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (90, "1m30s"),
        (5400, "1h30m"),
        (0, "0s"),
        (0.25, "250ms"),
        (86400, "1d"),
        (788645.006, "1w2d3h4m5s6ms"),
        (-90, "-1m30s"),
    ],
)
def test_durations_are_written(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


# Berlin: on 2026-03-29 02:00 becomes 03:00, on 2026-10-25 03:00 becomes 02:00. Now is 13:00:05.25 there.
INSTANTS = [
    ("now", "2026-03-28T12:00:05.250000"),
    ("2026-12-24", "2026-12-23T23:00:00"),
    ("2026-12-24T18:00", "2026-12-24T17:00:00"),
    ("2026-12-24 18:00:05", "2026-12-24T17:00:05"),
    ("2026-12-24t18:00:05.25", "2026-12-24T17:00:05.250000"),
    ("2026-12-24T18:00Z", "2026-12-24T18:00:00"),
    ("2026-12-24T18:00:00+05:30", "2026-12-24T12:30:00"),
    ("2026-12-24T18:00-0800", "2026-12-25T02:00:00"),
    ("2026-12-24T18:00+02", "2026-12-24T16:00:00"),
    ("14:00", "2026-03-28T13:00:00"),
    ("13:00", "2026-03-29T11:00:00"),
    ("13:00:06", "2026-03-28T12:00:06"),
    ("2:30", "2026-03-29T01:00:00"),
    ("today 18:00", "2026-03-28T17:00:00"),
    ("Tomorrow 09:00", "2026-03-29T07:00:00"),
    ("yesterday", "2026-03-26T23:00:00"),
    ("-2h", "2026-03-28T10:00:05.250000"),
    ("+90s", "2026-03-28T12:01:35.250000"),
    ("2h ago", "2026-03-28T10:00:05.250000"),
    ("in 1h30m", "2026-03-28T13:30:05.250000"),
    # Missing: the first minute after the gap. Repeated: the first instant.
    ("2026-03-29T02:30", "2026-03-29T01:00:00"),
    ("2026-03-29T02:30:15.5", "2026-03-29T01:00:00"),
    ("2026-10-25T02:30", "2026-10-25T00:30:00"),
]


@pytest.mark.parametrize(("text", "expected"), INSTANTS)
def test_instants_are_read(text: str, expected: str) -> None:
    found = parse_instant(text, tz="Europe/Berlin", now=NOW)
    assert found.tzinfo is UTC
    assert found.replace(tzinfo=None).isoformat() == expected


@pytest.mark.parametrize(
    ("text", "span", "message"),
    [
        ("", (0, 0), "a date and time is missing"),
        ("tomorow 09:00", (0, 7), "unknown word `tomorow`"),
        ("2026-13-01", (5, 7), "month 13 is out of range 1-12"),
        ("2026-02-30", (8, 10), "there is no 2026-02-30"),
        ("2026-12-24T25:00", (11, 13), "hour 25 is out of range 0-23"),
        ("12:60", (3, 5), "minute 60 is out of range 0-59"),
        ("1850-01-01", (0, 4), "the year 1850 is out of range 1970-2199"),
        ("2026-12-24T18:00+99:00", (16, 22), "the offset +99:00 is out of range"),
        ("next week", (0, 9), "`next week` is not a date and time"),
        ("5 ago", (0, 1), "the duration `5` has no unit"),
        ("1h5x ago", (3, 4), "unknown unit `x`"),
        ("20261224", (0, 8), "`20261224` is not a date and time"),
        ("x" * 100, (0, 64), "too long for a date and time"),
    ],
)
def test_instants_are_refused(text: str, span: tuple[int, int], message: str) -> None:
    with pytest.raises(InstantError) as raised:
        parse_instant(text, tz="Europe/Berlin", now=NOW)
    assert (raised.value.span, raised.value.message) == (span, message)
    assert raised.value.hint


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(TimezoneError):
        parse_instant("14:00", tz="Europe/Berln", now=NOW)
