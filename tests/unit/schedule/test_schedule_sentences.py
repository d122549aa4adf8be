"""The English sentence for the whole grammar, the warnings of rule 13 and the notes of rule 17."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cronq.schedule import Schedule, ScheduleWarning, parse

NOW = datetime(2026, 9, 28, 12, tzinfo=UTC)


def table(name: str) -> list[tuple[str, list[str]]]:
    """Blocks of a text file: a schedule, and indented what is said about it."""
    found: list[tuple[str, list[str]]] = []
    for line in Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines():
        if line.startswith("    "):
            found[-1][1].append(line.strip())
        elif line and not line.startswith("#"):
            found.append((line, []))
    return found


SENTENCES = table("sentences.txt")
WARNINGS = table("warnings.txt")


@pytest.mark.parametrize(("text", "expected"), SENTENCES, ids=[text for text, _ in SENTENCES])
def test_the_sentence_says_what_was_understood(text: str, expected: list[str]) -> None:
    assert parse(text, tz="Europe/Berlin", name="nightly", now=NOW).explain() == expected[0]


@pytest.mark.parametrize(("text", "expected"), WARNINGS, ids=[text for text, _ in WARNINGS])
def test_rule_13_warnings(text: str, expected: list[str]) -> None:
    found = parse(text, tz="Europe/Berlin", name="nightly", now=NOW).warnings(NOW)
    assert [warning.message for warning in found] == expected


def test_rule_13_dated_warnings_name_their_date() -> None:
    found = parse("30 2 * * *", tz="Europe/Berlin").warnings(NOW)
    assert [(warning.severity, warning.date) for warning in found] == [
        ("warning", "2026-10-25"),
        ("warning", "2027-03-28"),
    ]


@pytest.mark.parametrize("tz", ["UTC", "Asia/Tokyo", "America/Phoenix"])
def test_rule_13_no_warning_where_clocks_stay(tz: str) -> None:
    assert parse("30 2 * * *", tz=tz).warnings(NOW) == []


def test_rule_13_policies_change_what_is_said() -> None:
    skip = parse("30 2 * * *", tz="Europe/Berlin", dst="skip").warnings(NOW)
    both = parse("30 2 * * *", tz="Europe/Berlin", dst="both").warnings(NOW)
    assert [w.message.partition("; ")[2] for w in skip] == ["runs the first time only", "does not run"]
    assert [w.message.partition("; ")[2] for w in both] == ["runs both times", "runs at 03:00"]


def test_rule_13_a_day_that_does_not_exist() -> None:
    found = parse("0 0 * * *", tz="Pacific/Apia").warnings(datetime(2011, 12, 1, tzinfo=UTC))
    assert found[0] == ScheduleWarning(
        "2011-12-30: 00:00 does not exist in Pacific/Apia; runs at 00:00 on 2011-12-31",
        "warning",
        "2011-12-30",
    )


def test_rule_13_only_dates_on_which_the_job_would_run() -> None:
    # The first of the month is never the last Sunday.
    assert parse("30 2 1 * *", tz="Europe/Berlin").warnings(NOW) == []


def test_rule_13_a_calendar_events_own_zone_counts() -> None:
    found = parse("oncalendar: 02:30 Europe/Berlin", tz="UTC").warnings(NOW)
    assert [warning.date for warning in found] == ["2026-10-25", "2027-03-28"]


def note(schedule: Schedule, at: str) -> str | None:
    return schedule.notes_at(datetime.fromisoformat(at).replace(tzinfo=UTC))


NOTES = [
    ("30 2 * * *", "cron", "2027-03-28T01:00", "moved from 02:30 (clock change)"),
    ("0,30 2 * * *", "cron", "2027-03-28T01:00", "moved from 02:00 to 02:30 (clock change)"),
    ("30 2 * * * ; 0 3 * * *", "cron", "2027-03-28T01:00", "moved from 02:30 (clock change)"),
    ("0 3 * * *", "cron", "2027-03-28T01:00", None),
    ("30 2,3 * * *", "cron", "2027-03-28T01:30", None),
    ("0 2,3 * * *", "cron", "2027-03-28T01:00", "also for 02:00 (clock change)"),
    ("30 2 * * *", "cron", "2026-10-25T00:30", "second 02:30 is not run"),
    ("30 2 * * *", "both", "2026-10-25T00:30", "first 02:30 (clock change)"),
    ("30 2 * * *", "both", "2026-10-25T01:30", "second 02:30 (clock change)"),
    ("*/30 * * * *", "cron", "2026-10-25T00:30", "first 02:30 (clock change)"),
    ("*/30 * * * *", "cron", "2026-10-25T01:30", "second 02:30 (clock change)"),
    ("*/30 * * * *", "skip", "2026-10-25T00:30", "second 02:30 is not run"),
    ("30 2 * * *", "cron", "2026-10-26T01:30", None),
    ("at 2026-10-25T02:30", "cron", "2026-10-25T00:30", None),
    ("@reboot", "cron", "2026-10-25T00:30", None),
]


@pytest.mark.parametrize(("text", "dst", "at", "expected"), NOTES)
def test_rule_17_notes(text: str, dst: str, at: str, expected: str | None) -> None:
    assert note(parse(text, tz="Europe/Berlin", dst=dst), at) == expected


def test_rule_17_no_note_beside_what_is_no_fire_time() -> None:
    schedule = parse("30 2 * * *", tz="Europe/Berlin")
    assert note(schedule, "2026-10-25T00:31") is None
    assert note(schedule, "2026-10-25T00:30:00.5") is None
