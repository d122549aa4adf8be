"""Assertions: what they find, how they tell it, and how far they look."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cronq.schedule import arrange, parse
from cronq.schedule.assertions import parse_assertion
from cronq.schedule.schedule import us_from_datetime

NOW = us_from_datetime(datetime(2026, 9, 28, 12, tzinfo=UTC))
DAY = 86_400_000_000


def table() -> list[tuple[str, str, str, str]]:
    """Schedule, zone, assertion and message of each line of assertions.txt; "-" when it holds."""
    path = Path(__file__).with_name("assertions.txt")
    found: list[tuple[str, str, str, str]] = []
    schedule = tz = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("    "):
            found[-1] = (*found[-1][:3], line.strip())
        elif line.startswith("  "):
            found.append((schedule, tz, line.strip(), "-"))
        elif line and not line.startswith("#"):
            schedule, _, tz = line.partition(" in ")
    return found


CASES = table()


@pytest.mark.parametrize(
    ("text", "tz", "assertion", "expected"), CASES, ids=[f"{c[0]}: {c[2]}" for c in CASES]
)
def test_what_an_assertion_finds(text: str, tz: str, assertion: str, expected: str) -> None:
    schedule = parse(text, tz=tz)
    found = parse_assertion(assertion).check(schedule, tz, NOW)
    assert ("-" if found is None else found.message) == expected
    if found is not None:
        assert all(schedule.next_us(at - 1) == at for at in found.at_us)


def test_the_horizon_is_two_years_or_what_is_asked() -> None:
    # The next 29 February is 2028-02-29: within two years of 2026-09-28, not within one.
    leap = parse("30 2 29 2 *")
    assertion = parse_assertion("never between 02:00 and 04:00")
    assert assertion.check(leap, "UTC", NOW) is not None
    assert assertion.check(leap, "UTC", NOW, 365 * DAY) is None
    rate = parse_assertion("never more than 0 times a year".replace("year", "month"))
    assert rate.check(leap, "UTC", NOW) is not None
    assert rate.check(leap, "UTC", NOW, 365 * DAY) is None


def test_bounds_and_calendars_count() -> None:
    bounded = arrange("0 9 * * *", start="2026-01-01", until="2027-12-30")
    found = parse_assertion("runs 365 times in 2027").check(bounded, "UTC", NOW)
    assert found is not None
    assert found.message == "runs 364 times in 2027, not 365: 2027-12-31 has none"
    found = parse_assertion("at least every 26h").check(bounded, "UTC", NOW)
    assert found is not None
    assert found.message == "does not run again after Thu 2027-12-30 09:00 +00:00"


def test_a_job_that_is_still_to_begin_is_not_late() -> None:
    assertion = parse_assertion("at least every 26h")
    assert assertion.check(arrange("0 9 * * *", start="2027-06-01"), "UTC", NOW) is None
    found = assertion.check(parse("@reboot"), "UTC", NOW)
    assert found == ("never runs", ())


def test_the_normal_form_is_read_again() -> None:
    assertion = parse_assertion("  Runs  AT LEAST 3 times in 2027-03 ")
    assert assertion.text == "runs at least 3 times in 2027-03"
    assert parse_assertion(assertion.text) == assertion


def test_dense_schedules_are_checked_in_time() -> None:
    every_second = parse("* * * * * *")
    for text in (
        "at least every 1s",
        "never more than 60 times a minute",
        "never more than 86400 times a day",
    ):
        assert parse_assertion(text).check(every_second, "UTC", NOW, 20 * DAY) is None
