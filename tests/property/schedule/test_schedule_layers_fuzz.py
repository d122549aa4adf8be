"""Whatever is typed for a bound, calendar, window, jitter or assertion: read, or refused with a place."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from cronq.errors import InstantError, ScheduleError
from cronq.schedule import parse
from cronq.schedule.assertions import parse_assertion
from cronq.schedule.blackout import read_blackouts
from cronq.schedule.bounds import read_bounds
from cronq.schedule.calendar_uses import read_use
from cronq.schedule.calendars import DatedCalendar, calendar_from_text, check_name
from cronq.schedule.ics import read_ics
from cronq.schedule.placement import delay_us, parse_jitter
from cronq.schedule.schedule import us_from_datetime
from tests.property.schedule.schedule_oracle import fresh_seed

NOW_US = us_from_datetime(datetime(2026, 9, 28, 12, tzinfo=UTC))
KNOWN = {"x": calendar_from_text("x", "2026-12-25\n")}
SCHEDULE = parse("30 2 * * *", tz="Europe/Berlin")
CHARACTERS = '0123456789:-.*/#;,=TZWPabdehmnorstvwxy \t\n\r\\"\x00é²\u2028'


def check_bounds(text: str) -> None:
    bounds = read_bounds(text, None, tz="Europe/Berlin", now_us=NOW_US)
    assert read_bounds(bounds.start, None, tz="Europe/Berlin") == bounds
    bounds = read_bounds(None, text, tz="Europe/Berlin", now_us=NOW_US)
    assert read_bounds(None, bounds.until, tz="Europe/Berlin") == bounds


def check_calendar(text: str) -> None:
    calendar = calendar_from_text("x", text)
    assert calendar_from_text("x", calendar.to_text()) == calendar


def check_ics(text: str) -> None:
    calendar = DatedCalendar("x", read_ics(text))
    assert calendar_from_text("x", calendar.to_text()) == calendar


def check_window(text: str) -> None:
    blackouts = read_blackouts((text,), "Europe/Berlin")
    hold = blackouts.at(NOW_US)
    assert hold is None or blackouts.at(hold.ends_us) is None
    assert read_blackouts((blackouts.windows[0].text,), "Europe/Berlin").windows == blackouts.windows


def check_jitter(text: str) -> None:
    jitter = parse_jitter(text)
    assert parse_jitter(jitter.text) == jitter
    assert 0 <= delay_us(jitter, text, NOW_US) < jitter.span_us


def check_assertion(text: str) -> None:
    assertion = parse_assertion(text)
    assert parse_assertion(assertion.text) == assertion
    found = assertion.check(SCHEDULE, "Europe/Berlin", NOW_US, 30 * 86_400_000_000)
    assert found is None or found.message.isprintable()


EVENT = """BEGIN:VCALENDAR
BEGIN:VEVENT
DTSTART;VALUE=DATE:20261224
SUMMARY:a\\, b
  c
RRULE:FREQ=YEARLY;COUNT=3
END:VEVENT
"""
VALID: list[tuple[Callable[[str], object], list[str]]] = [
    (check_bounds, ["2026-12-24", "2026-12-24T18:00", "tomorrow", "in 2h", "2026-12-24 18:00:30.5+02:00"]),
    (check_calendar, ["2026-12-24..2027-01-02 a\n*-12-25 b # c\n2028/4-02-29\n", "# x\n2026-05-07\tc"]),
    (
        check_ics,
        [
            EVENT,
            EVENT.replace("COUNT=3", "UNTIL=20301224"),
            EVENT.replace("RRULE:FREQ=YEARLY;", "DURATION:P3DT4H;"),
        ],
    ),
    (
        check_window,
        ["mon-fri 09:00-17:00:defer", "22:00-04:00:drop", "2026-12-24..2027-01-02:drop", "sat:drop"],
    ),
    (check_jitter, ["5m", "random:1h30m", "random: 90s"]),
    (
        check_assertion,
        [
            "runs at least 365 times in 2027",
            "never between 02:00 and 04:00 on sat,sun",
            "only between 08:00 and 18:00",
            "never more than twice an hour",
            "at least every 26h",
            "only on mon-fri",
        ],
    ),
    (lambda text: read_use(text, KNOWN), ["x:skip", "x:next", "de-by-holidays:previous"]),
    (check_name, ["office-2027"]),
]


def noise(rng: random.Random, text: str) -> str:
    """A valid text with a few characters changed, or words of it in another order."""
    if rng.random() < 0.2:
        words = text.split(" ")
        rng.shuffle(words)
        return " ".join(words[: rng.randint(0, len(words))])
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        place = rng.randrange(len(text) + 1)
        text = text[:place] + rng.choice(CHARACTERS) + text[place + rng.randrange(3) :]
    return text


def run(total: int) -> tuple[int, int]:
    pytest.importorskip("holidays", reason="the extra `calendars` is not installed")
    seed = fresh_seed()
    rng = random.Random(seed)
    read_count = 0
    for _ in range(total):
        reader, texts = rng.choice(VALID)
        text = noise(rng, rng.choice(texts))
        problem: ScheduleError | InstantError | None = None
        try:
            reader(text)
        except (ScheduleError, InstantError) as error:
            problem = error
        except Exception as error:
            raise AssertionError(f"{text!r}, seed {seed}") from error
        if problem is None:
            read_count += 1
            continue
        note = f"{text!r}: {problem.message} {problem.span}, seed {seed}"
        assert problem.message, note
        assert problem.message.isprintable(), note
        assert "\n" not in (problem.text or ""), note
        start, end = problem.span or (0, 0)
        assert 0 <= start <= end <= max(len(problem.text or ""), 1), note
    return total, read_count


def test_any_text_around_a_schedule_is_read_or_refused_with_a_place() -> None:
    total, read = run(2500)
    assert 0 < read < total


@pytest.mark.slow
def test_any_text_around_a_schedule_is_read_or_refused_with_a_place_at_length() -> None:
    print("texts", run(60_000))


def test_a_million_characters_around_a_schedule_are_refused_at_once() -> None:
    text = "x" * 1_000_000
    began = time.perf_counter()
    for reader, _ in VALID:
        if reader not in (check_calendar, check_ics):
            with pytest.raises((ScheduleError, InstantError)):
                reader(text)
    assert time.perf_counter() - began < 0.05
