"""Blackout windows: what they hold, how they end, what clock changes do to them."""

from __future__ import annotations

from datetime import datetime

import pytest

from cronq.errors import ScheduleError
from cronq.schedule.blackout import Hold, read_blackouts, read_window, spoken
from cronq.schedule.schedule import datetime_from_us, us_from_datetime

# Thursday 2026-12-24.
HOLDS = [
    (["mon-fri 09:00-17:00:defer"], "Thu 09:00", ("defer", "Thu 17:00")),
    (["mon-fri 09:00-17:00:defer"], "Thu 16:59", ("defer", "Thu 17:00")),
    (["mon-fri 09:00-17:00:defer"], "Thu 17:00", None),
    (["mon-fri 09:00-17:00:defer"], "Thu 08:59", None),
    (["mon-fri 09:00-17:00:defer"], "Sat 12:00", None),
    (["02:00-04:00:drop"], "Sat 02:00", ("drop", "Sat 04:00")),
    (["22:00-06:00:drop"], "Fri 23:00", ("drop", "Sat 06:00")),
    (["22:00-06:00:drop"], "Fri 05:59", ("drop", "Fri 06:00")),
    # A window belongs to the day on which it begins.
    (["fri 22:00-06:00:drop"], "Sat 05:00", ("drop", "Sat 06:00")),
    (["fri 22:00-06:00:drop"], "Fri 05:00", None),
    (["sat,sun:drop"], "Sat 00:00", ("drop", "Mon 00:00")),
    (["sat,sun:drop"], "Fri 23:59", None),
    (["09:00-24:00:drop"], "Thu 23:59", ("drop", "Fri 00:00")),
    (["2026-12-24..2027-01-02:drop"], "Thu 00:00", ("drop", "2027-01-03 00:00")),
    (["2026-12-24:defer"], "Thu 23:59", ("defer", "Fri 00:00")),
    (["2026-12-24..2026-12-25 18:00-20:00:defer"], "Fri 19:00", ("defer", "Fri 20:00")),
    (["2026-12-24..2026-12-25 18:00-20:00:defer"], "Fri 12:00", None),
    (["2026-12-24..2026-12-25 18:00-20:00:defer"], "Sat 19:00", None),
    # Windows that overlap or adjoin are one; `drop` wins where both hold.
    (["09:00-12:00:defer", "12:00-14:00:defer"], "Thu 10:00", ("defer", "Thu 14:00")),
    (["09:00-12:00:defer", "11:00-14:00:drop"], "Thu 10:00", ("defer", "Thu 14:00")),
    (["09:00-12:00:defer", "11:00-14:00:drop"], "Thu 11:30", ("drop", "Thu 14:00")),
    (["fri 20:00-24:00:defer", "sat,sun:drop", "mon 00:00-06:00:defer"], "Fri 21:00", ("defer", "Mon 06:00")),
    (["09:00-12:00:defer", "13:00-14:00:defer"], "Thu 10:00", ("defer", "Thu 12:00")),
]
DAYS = {"Thu": "2026-12-24", "Fri": "2026-12-25", "Sat": "2026-12-26", "Mon": "2026-12-28"}


def us(text: str) -> int:
    day, _, time = text.partition(" ")
    return us_from_datetime(datetime.fromisoformat(f"{DAYS.get(day, day)}T{time}+00:00"))


@pytest.mark.parametrize(("texts", "at", "expected"), HOLDS)
def test_what_windows_hold(texts: list[str], at: str, expected: tuple[str, str] | None) -> None:
    hold = read_blackouts(tuple(texts), "UTC").at(us(at))
    found = None if hold is None else (hold.policy, hold.ends_us)
    assert found == (None if expected is None else (expected[0], us(expected[1])))


def test_a_hold_names_its_windows_and_the_decisive_one_first() -> None:
    blackouts = read_blackouts(("MON-FRI  09:00-12:00:Defer", "11:00-14:00:drop"), "UTC")
    assert blackouts.at(us("Thu 11:30")) == Hold(
        "drop", us("Thu 14:00"), "11:00-14:00:drop; mon-fri 09:00-12:00:defer"
    )
    assert read_blackouts((), "UTC").at(us("Thu 11:30")) is None


def test_windows_are_read_on_the_clock_of_the_zone() -> None:
    blackouts = read_blackouts(("02:00-03:00:defer", "2026-12-24:drop"), "Europe/Berlin")

    def held(text: str) -> str | None:
        hold = blackouts.at(us_from_datetime(datetime.fromisoformat(text + "+00:00")))
        return None if hold is None else f"{datetime_from_us(hold.ends_us):%m-%d %H:%M}"

    # In spring the hour does not exist, in autumn it comes twice and adjoins itself.
    assert [held(f"2027-03-28T{time}") for time in ("00:59", "01:00")] == [None, None]
    assert [held(f"2026-10-25T{time}") for time in ("00:30", "01:30", "02:00")] == [
        "10-25 02:00",
        "10-25 02:00",
        None,
    ]
    assert held("2026-12-23T23:00") == "12-24 23:00"


def test_the_same_window_twice_is_one() -> None:
    assert len(read_blackouts(("sat:drop", "SAT:drop"), "UTC").windows) == 1


def test_more_windows_than_anyone_needs_are_refused() -> None:
    texts = tuple(f"2026-01-{day:02} {hour:02}:00-23:59:drop" for day in range(1, 14) for hour in range(5))
    assert len(read_blackouts(texts[:64], "UTC").windows) == 64
    with pytest.raises(ScheduleError, match="more than 64 blackout windows"):
        read_blackouts(texts, "UTC")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mon-fri 09:00-17:00:defer", "mon-fri 09:00-17:00"),
        ("2026-12-24..2027-01-02:drop", "from 2026-12-24 to 2027-01-02"),
        ("2026-12-24 18:00-24:00:drop", "on 2026-12-24 18:00-24:00"),
    ],
)
def test_windows_in_words(text: str, expected: str) -> None:
    assert spoken(read_window(text)) == expected
