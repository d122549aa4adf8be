"""A crontab of sixty lines with every oddity of crontab(5): for a year, cronq fires when cron does."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cronq.importing.crontab_jobs import Owner, jobs_of_crontab
from cronq.importing.found import Findings, Found
from cronq.schedule import parse
from cronq.schedule.zones import zone
from tests.property.importing.cron_oracle import agree, entry_of, starts, utc

FILE = Path(__file__).with_name("every_oddity.crontab")
ZONE = "Europe/Berlin"
YEAR = utc("2027-01-01T00:00"), utc("2028-01-01T00:00")
OWNER = Owner("me", "/home/me", {"me": "/home/me"}.get)

LINES = FILE.read_text().splitlines()


def imported() -> Findings:
    return jobs_of_crontab(
        FILE.read_bytes(), FILE.name, has_users=False, tz=ZONE, owner=OWNER, keeps_policies=True
    )


def originals() -> dict[int, tuple[str, str]]:
    """Return the fields, and the zone, of each line that is an entry; read without the importer."""
    found = {}
    tz = ZONE
    for number, line in enumerate(LINES, start=1):
        text = line.strip().lstrip("-")
        if named := re.match(r"CRON_TZ *= *\"?([^\"]*)\"?$", text):
            tz = named[1]
        elif text and text[0] != "#" and not re.match(r"\w+ *=", text):
            found[number] = (text.split()[0] if text[0] == "@" else " ".join(text.split()[:5]), tz)
    return found


ORIGINALS = originals()
FOUND = {one.place.line: one for one in imported().jobs}


def fire_times(found: Found, first: datetime, last: datetime) -> list[datetime]:
    schedule = parse(str(found.values["schedule"]), tz=str(found.values["tz"]), name=found.name)
    times = []
    at = schedule.next(first - timedelta(microseconds=1))
    while at is not None and at < last:
        times.append(at)
        at = schedule.next(at)
    return times


def settled(fields: str, found: Found) -> str:
    """Return the fields with the value that cronq chose in the place of a random one."""
    if "~" not in fields:
        return fields
    (at, *_) = fire_times(found, *YEAR)
    local = at.astimezone(zone(str(found.values["tz"])))
    chosen = (str(local.minute), str(local.hour))
    return " ".join(
        value if "~" in text else text
        for text, value in zip(fields.split(), [*chosen, "", "", ""], strict=True)
    )


def test_crontab_has_sixty_lines_and_all_are_imported() -> None:
    found = imported()
    assert len(LINES) == 60
    assert found.problems == []
    never = next(number for number, line in enumerate(LINES, start=1) if line.endswith(" never"))
    assert FOUND.keys() == ORIGINALS.keys() - {never}
    assert len({one.name for one in found.jobs}) == len(found.jobs)


@pytest.mark.parametrize("line", [n for n in sorted(FOUND) if ORIGINALS[n][0] != "@reboot"])
def test_fire_times_of_a_year_are_those_of_cron(line: int) -> None:
    fields, tz = ORIGINALS[line]
    found = FOUND[line]
    assert found.values["tz"] == tz
    theirs = starts(entry_of(settled(fields, found)), tz, *YEAR)
    assert theirs or "29 2" in fields
    assert agree(fire_times(found, *YEAR), theirs) == "", (LINES[line - 1], found.values["schedule"])


def test_leap_day_comes_in_the_next_leap_year() -> None:
    found = next(one for one in FOUND.values() if one.name == "leap-day")
    assert fire_times(found, *YEAR) == []
    assert fire_times(found, utc("2028-01-01T00:00"), utc("2029-01-01T00:00")) == [utc("2028-02-28T23:00")]


@pytest.mark.parametrize(
    ("name", "day", "expected"),
    [
        # What cron(8) of Debian promises, and so do we: leapt over means at once after it, twice means once.
        ("in-the-gap", "2027-03-28", ["01:00"]),
        ("in-the-gap", "2027-10-31", ["00:30"]),
        ("twice-in-the-gap", "2027-03-28", ["01:00"]),
        ("twice-in-the-gap", "2027-10-31", ["00:00", "00:30"]),
        ("fixed-steps", "2027-03-28", ["01:00"]),
        ("near-the-gap", "2027-03-28", ["00:30"]),
        # With a star they follow the clock: nothing for what is leapt over, and both of what comes twice.
        ("two-hourly", "2027-03-28", ["02:15", "04:15"]),
        ("two-hourly", "2027-10-31", ["00:15", "01:15", "03:15", "05:15"]),
    ],
)
def test_clock_changes_are_as_cron_has_them(name: str, day: str, expected: list[str]) -> None:
    found = next(one for one in FOUND.values() if one.name == name)
    first, last = utc(f"{day}T00:00"), utc(f"{day}T06:00")
    assert [f"{at:%H:%M}" for at in fire_times(found, first, last)] == expected
    line = next(number for number, one in FOUND.items() if one is found)
    assert (
        agree(fire_times(found, first, last), starts(entry_of(ORIGINALS[line][0]), ZONE, first, last)) == ""
    )


def test_random_ones_stay_within_their_range_and_are_told() -> None:
    found = next(one for one in FOUND.values() if one.name == "random")
    minutes = {at.minute for at in fire_times(found, *YEAR)}
    assert len(minutes) == 1
    assert 20 <= minutes.pop() <= 40
    assert [one.about for one in imported().remarks if one.job == "random"] == ["random"]


def test_commands_are_what_the_shell_of_cron_gets() -> None:
    by_name = {one.name: one.values for one in FOUND.values()}
    assert by_name["date"]["shell"] == 'date +%F > "$HOME/day"'
    assert by_name["a"]["shell"] == "printf '%s\\n' ' 1' 2 | /bin/sh -c a"
    assert by_name["d"]["shell"] == "d"
    assert by_name["f"]["env"] == {
        "SHELL": "/bin/sh",
        "MAILTO": "me@example.com",
        "CRON_TZ": "Europe/Berlin",
        "TZ": "UTC",
    }
