"""Fire times by the numbered rules of schedules.md, as tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from cronq.schedule import parse
from cronq.schedule.zones import zone


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def fires(text: str, after: str, count: int, *, tz: str = "UTC", name: str = "") -> list[str]:
    """The next fire times as wall times of the zone, with the weekday."""
    schedule = parse(text, tz=tz, name=name)
    found, at = [], utc(after)
    for _ in range(count):
        following = schedule.next(at)
        if following is None:
            break
        at = following
        found.append(at.astimezone(zone(tz)).strftime("%a %Y-%m-%d %H:%M:%S").removesuffix(":00"))
    return found


def table() -> list[tuple[str, list[str]]]:
    """The schedules of fires.txt and their fire times."""
    found: list[tuple[str, list[str]]] = []
    for line in Path(__file__).with_name("fires.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("    "):
            found[-1][1].append(line.strip())
        elif line and not line.startswith("#"):
            found.append((line, []))
    return found


FIELDS = table()


@pytest.mark.parametrize(("text", "expected"), FIELDS, ids=[text for text, _ in FIELDS])
def test_fire_times_from_new_year_2026(text: str, expected: list[str]) -> None:
    assert fires(text, "2025-12-31T23:59:59", len(expected)) == expected


def test_rule_8_h_is_stable_by_name_and_spread() -> None:
    minutes = set()
    for number in range(200):
        first, second = fires("H H * * *", "2026-01-01T00:00", 2, name=f"job-{number}")
        assert first[-5:] == second[-5:]
        minutes.add(first[-2:])
    assert len(minutes) > 50
    # Written down: a change of the hash would move every job that uses it.
    assert fires("H H(0-5) * * *", "2026-01-01T00:00", 1, name="backup") == ["Thu 2026-01-01 03:02"]
    for number in range(20):
        first = fires("H(10-12) * * * *", "2026-01-01T00:00", 1, name=str(number))[0]
        assert first[-2:] in ("10", "11", "12")


def test_rule_8_h_steps_keep_their_distance() -> None:
    for name in ("a", "b", "c", "d"):
        at = parse("H/15 * * * *", name=name)
        times = list(at.between(utc("2026-01-01T00:00"), utc("2026-01-01T06:00")))
        assert len(times) == 24
        assert {right - left for left, right in pairwise(times)} == {timedelta(minutes=15)}


def test_rule_8_h_days_exist_in_every_month() -> None:
    for number in range(40):
        schedule = parse("0 0 H * *", name=f"job-{number}")
        assert len(list(schedule.between(utc("2026-01-01"), utc("2028-01-01")))) == 24


def test_rule_9_reboot_is_not_a_clock_time() -> None:
    schedule = parse("@reboot")
    assert schedule.at_startup
    assert schedule.next(utc("2026-01-01")) is None
    assert schedule.prev(utc("2026-01-01")) is None
    both = parse("@daily ; @REBOOT")
    assert both.at_startup
    assert both.next(utc("2026-01-01")) == utc("2026-01-02")
    assert not parse("@daily").at_startup


def test_rule_10_a_steady_interval_keeps_its_distance_over_days() -> None:
    times = list(parse("every 70m").between(utc("2026-01-01"), utc("2026-01-05")))
    assert {right - left for left, right in pairwise(times)} == {timedelta(minutes=70)}


def test_rule_10_one_offs_become_instants() -> None:
    now = utc("2026-03-28T12:00:05")
    assert parse("in 10m", now=now).text == "at 2026-03-28T12:10:05Z"
    assert parse("IN 1h30m", now=now).text == "at 2026-03-28T13:30:05Z"
    assert parse("at tomorrow 09:00", tz="Europe/Berlin", now=now).text == "at 2026-03-29T07:00:00Z"
    assert parse("at 12:00", now=now).text == "at 2026-03-29T12:00:00Z"
    assert parse("@daily ; in 1d", now=now).text == "@daily ; at 2026-03-29T12:00:05Z"
    assert parse(" at 2026-12-24T18:00 ", now=now).text == "at 2026-12-24T18:00"


def test_rule_10_a_one_off_in_the_past_is_read() -> None:
    schedule = parse("at 2020-02-02T02:02Z")
    assert schedule.next(utc("2026-01-01")) is None
    assert schedule.prev(utc("2026-01-01")) == utc("2020-02-02T02:02")
    assert schedule.count_us(0, 2_000_000_000_000_000) == 1


def test_rule_13_leap_day_steps_from_2096_to_2104() -> None:
    assert fires("0 0 29 2 *", "2092-03-01", 2) == ["Wed 2096-02-29 00:00", "Fri 2104-02-29 00:00"]
    schedule = parse("0 0 29 2 *")
    assert schedule.prev(utc("2104-02-29")) == utc("2096-02-29")


# Rules 14 and 15 in Berlin: on 2027-03-28 02:00 becomes 03:00, on 2026-10-25 03:00 becomes 02:00.
# Numbered pairs, spring and autumn, by the shape of the expression.
CHANGES = [
    ("1 fixed time", "30 2 * * *", ["01:00"], ["00:30"]),
    ("2 fixed list", "0,30 2 * * *", ["01:00"], ["00:00", "00:30"]),
    ("3 list of hours", "30 2,3 * * *", ["01:00", "01:30"], ["00:30", "02:30"]),
    ("4 missing beside real", "0 2,3 * * *", ["01:00"], ["00:00", "02:00"]),
    ("5 stepped minutes", "*/30 2 * * *", [], ["00:00", "00:30", "01:00", "01:30"]),
    ("6 stepped hours", "30 */2 * * *", None, None),
    ("7 range with a step", "0-59/30 2 * * *", ["01:00"], ["00:00", "00:30"]),
    ("8 all hours", "30 * * * *", None, None),
    ("9 all hours as a range", "30 0-23 * * *", None, None),
    ("10 macro", "@hourly", None, None),
    ("11 interval", "every 30m between 02:00-02:59", [], ["00:00", "00:30", "01:00", "01:30"]),
    ("12 seconds", "15 30 2 * * *", ["01:00"], ["00:30:15"]),
    ("13 stepped seconds", "*/30 30 2 * * *", ["01:00"], ["00:30", "00:30:30"]),
    ("14 n-th day", "every day at 02:30", ["01:00"], ["00:30"]),
    ("14b n-th week", "every 2 weeks on sun at 02:30 from 2027-03-14", ["01:00"], None),
    ("14c n-th week, repeated", "every 2 weeks on sun at 02:30 from 2026-10-11", None, ["00:30"]),
    ("14d n-th month", "every 2 months on 28 at 02:30 from 2027-01-01", ["01:00"], None),
    ("15 calendar", "oncalendar: 02:30", ["01:00"], ["00:30"]),
    ("16 calendar with a star", "oncalendar: Sun *:30", None, None),
]


def on_day(text: str, day: str, low: str, high: str, dst: str = "cron") -> list[str]:
    schedule = parse(text, tz="Europe/Berlin", dst=dst)
    found = schedule.between(utc(f"{day}T{low}"), utc(f"{day}T{high}"))
    return [fire.strftime("%H:%M:%S").removesuffix(":00") for fire in found]


@pytest.mark.parametrize(("label", "text", "spring", "autumn"), CHANGES, ids=[row[0] for row in CHANGES])
def test_rules_14_and_15(label: str, text: str, spring: list[str] | None, autumn: list[str] | None) -> None:
    if spring is not None:
        assert on_day(text, "2027-03-28", "00:00", "02:00") == spring
    if autumn is not None:
        assert on_day(text, "2026-10-25", "00:00", "03:00") == autumn


def test_rules_14_and_15_of_frequent_jobs() -> None:
    assert on_day("30 */2 * * *", "2027-03-28", "00:00", "03:00") == ["02:30"]
    assert on_day("30 */2 * * *", "2026-10-25", "00:00", "03:00") == ["00:30", "01:30"]
    for text in ("30 * * * *", "oncalendar: Sun *:30"):
        assert on_day(text, "2027-03-28", "00:00", "03:00") == ["00:30", "01:30", "02:30"]
        assert on_day(text, "2026-10-25", "00:00", "03:00") == ["00:30", "01:30", "02:30"]
    # Not a star in the text, so fixed times: 02:30 moves to 03:00, the second 02:30 is left out.
    assert on_day("30 0-23 * * *", "2027-03-28", "00:00", "03:00") == ["00:30", "01:00", "01:30", "02:30"]
    assert on_day("30 0-23 * * *", "2026-10-25", "00:00", "03:00") == ["00:30", "02:30"]


POLICIES = [
    ("30 2 * * *", "skip", [], ["00:30"]),
    ("30 2 * * *", "both", ["01:00"], ["00:30", "01:30"]),
    ("*/30 2 * * *", "skip", [], ["00:00", "00:30"]),
    ("*/30 2 * * *", "both", [], ["00:00", "00:30", "01:00", "01:30"]),
]


@pytest.mark.parametrize(("text", "dst", "spring", "autumn"), POLICIES)
def test_rule_16_other_policies(text: str, dst: str, spring: list[str], autumn: list[str]) -> None:
    assert on_day(text, "2027-03-28", "00:00", "02:00", dst) == spring
    assert on_day(text, "2026-10-25", "00:00", "03:00", dst) == autumn


ZONES = [
    (
        "Australia/Lord_Howe",
        "15 2 * * *",
        "2026-10-03T12:00",
        ["Sun 2026-10-04 02:30", "Mon 2026-10-05 02:15"],
    ),
    ("America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00", ["Sun 2018-11-04 01:00", "Mon 2018-11-05 00:00"]),
    ("America/St_Johns", "30 0 * * *", "2010-03-14T02:00", ["Sun 2010-03-14 01:01", "Mon 2010-03-15 00:30"]),
    ("Antarctica/Troll", "30 1 * * *", "2026-03-29T00:00", ["Sun 2026-03-29 03:00", "Mon 2026-03-30 01:30"]),
    ("Asia/Kathmandu", "10 0 1 1 *", "1985-12-31T12:00", ["Wed 1986-01-01 00:15", "Thu 1987-01-01 00:10"]),
    (
        "Pacific/Apia",
        "0 12 * * *",
        "2011-12-29T12:00",
        ["Thu 2011-12-29 12:00", "Sat 2011-12-31 00:00", "Sat 2011-12-31 12:00"],
    ),
    ("Asia/Pyongyang", "45 23 4 5 *", "2018-05-04T12:00", ["Sat 2018-05-05 00:00", "Sat 2019-05-04 23:45"]),
]


@pytest.mark.parametrize(("tz", "text", "after", "expected"), ZONES)
def test_rule_15_any_size_of_gap(tz: str, text: str, after: str, expected: list[str]) -> None:
    assert fires(text, after, len(expected), tz=tz) == expected


def test_rule_1_fractions_and_strictness() -> None:
    schedule = parse("0 12 * * *")
    noon = utc("2026-01-01T12:00")
    tick = timedelta(microseconds=1)
    assert schedule.next(noon) == noon + timedelta(days=1)
    assert schedule.next(noon - tick) == noon
    assert schedule.prev(noon) == noon - timedelta(days=1)
    assert schedule.prev(noon + tick) == noon


def test_rule_2_the_second_of_two_equal_wall_times_is_later() -> None:
    schedule = parse("*/30 1 * * *", tz="America/New_York")
    first = datetime(2026, 11, 1, 1, 30, tzinfo=zone("America/New_York"))
    assert schedule.next(first) == utc("2026-11-01T06:00")
    assert schedule.next(first.replace(fold=1)) == utc("2026-11-02T06:00")


def test_before_1970_and_far_ahead() -> None:
    assert fires("0 0 1 1 *", "1899-06-01", 1) == ["Mon 1900-01-01 00:00"]
    assert fires("0 12 * * *", "2500-06-01T13:00", 1, tz="Europe/Berlin") == ["Wed 2500-06-02 12:00"]
    assert parse("0 0 * * *").next(datetime.max.replace(tzinfo=UTC)) is None
    assert parse("0 0 * * *").prev(datetime.min.replace(tzinfo=UTC)) is None
    assert parse("0 0 * * *", tz="Europe/Berlin").next(datetime.max.replace(tzinfo=UTC)) is None
    assert parse("every 90s on mon").prev(datetime.min.replace(tzinfo=UTC)) is None
