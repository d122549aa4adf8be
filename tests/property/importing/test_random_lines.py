"""Random lines of crontabs: what is imported fires when cron does, over random spans in the oddest zones."""

from __future__ import annotations

import os
import random
from datetime import datetime, timedelta

import pytest

from cronq.importing.crontab import read_crontab
from cronq.schedule import parse
from tests.property.importing.cron_oracle import DAYS, MONTHS, agree, entry_of, starts, utc

SEED = int(os.environ.get("CRONQ_TEST_SEED", "0")) or random.SystemRandom().randrange(2**32)

# Zones whose changes cron's own loop treats as we promise: of at most three hours, and ordinary ones.
CHANGES = [
    ("Europe/Berlin", "2027-03-28T01:00"),
    ("Europe/Berlin", "2026-10-25T01:00"),
    ("America/New_York", "2026-03-08T07:00"),
    ("America/New_York", "2026-11-01T06:00"),
    ("Australia/Lord_Howe", "2026-04-04T15:00"),
    ("Australia/Lord_Howe", "2026-10-03T15:30"),
    ("America/Sao_Paulo", "2018-11-04T03:00"),
    ("America/Sao_Paulo", "2018-02-18T02:00"),
    ("Asia/Amman", "2021-03-25T22:00"),
    ("Pacific/Chatham", "2026-04-04T14:00"),
    ("Antarctica/Troll", "2026-03-29T01:00"),
    ("Antarctica/Troll", "2026-10-25T01:00"),
    ("Africa/Casablanca", "2026-02-15T02:00"),
    ("Asia/Kolkata", "2026-06-01T00:00"),
    ("UTC", "2028-02-29T00:00"),
]


def number(rng: random.Random, low: int, high: int, names: list[str]) -> str:
    value = rng.randint(low, high)
    if names and rng.random() < 0.3:
        name = names[value - low]
        return rng.choice([name, name.upper(), name.capitalize()])
    return str(value).zfill(rng.choice([1, 1, 1, 2]))


def item(rng: random.Random, low: int, high: int, names: list[str]) -> str:
    kind = rng.random()
    if kind < 0.3:
        return "*"
    if kind < 0.5:
        return f"*/{rng.choice([1, 2, 3, 5, 7, 15, 40, 70])}"
    if kind < 0.75:
        return number(rng, low, high, names)
    first = rng.randint(low, high)
    last = rng.randint(first, high)
    step = rng.choice(["", "", f"/{rng.randint(1, 9)}"])
    return f"{first}-{last}{step}"


def field(rng: random.Random, low: int, high: int, names: list[str]) -> str:
    return ",".join(item(rng, low, high, names) for _ in range(rng.choice([1, 1, 1, 2, 3])))


def fields(rng: random.Random) -> str:
    if rng.random() < 0.05:
        return rng.choice(["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"])
    dense = rng.random() < 0.5
    minute = field(rng, 0, 59, []) if dense else str(rng.randint(0, 59))
    hour = rng.choice(["*", "0-5", "1", "2", "1-3", "*/2", field(rng, 0, 23, [])])
    month = field(rng, 1, 12, MONTHS) if rng.random() < 0.3 else "*"
    day = field(rng, 1, 31, []) if rng.random() < 0.5 else "*"
    week = field(rng, 0, 7, DAYS) if rng.random() < 0.5 else "*"
    return " ".join([minute, hour, day, month, week])


def line(rng: random.Random, text: str) -> str:
    """Put odd white space between and around."""
    blanks = [rng.choice([" ", "\t", "   ", " \t "]) for _ in range(6)]
    return rng.choice(["", " ", "\t"]) + "".join(
        word + blank for word, blank in zip([*text.split(), "true"], blanks, strict=False)
    )


def disagreement(rng: random.Random) -> str:
    text = fields(rng)
    written = line(rng, text)
    tz, change = rng.choice(CHANGES)
    days = rng.choice([3, 10, 40])
    first = utc(change).replace(minute=0) - timedelta(days=rng.randint(0, days - 1), hours=rng.randint(1, 20))
    last = first + timedelta(days=days)
    crontab = read_crontab(f"{written}\n".encode(), "tab", has_users=False)
    assert crontab.problems == [], (written, crontab.problems)
    (entry,) = crontab.entries
    assert entry.command.strip() == "true", written
    theirs = starts(entry_of(text), tz, first, last)
    difference = agree(ours(entry.schedule, tz, first, last), theirs)
    return f"{text!r} ({entry.schedule!r}) in {tz}, {first} to {last}: {difference}" if difference else ""


def ours(schedule: str, tz: str, first: datetime, last: datetime) -> list[datetime]:
    try:
        times = parse(schedule, tz=tz)
    except Exception as error:
        if "no fire time" in str(error):
            return []
        raise
    found = []
    at = times.next(first - timedelta(microseconds=1))
    while at is not None and at < last:
        found.append(at)
        at = times.next(at)
    return found


def check(seed: int, count: int) -> None:
    rng = random.Random(seed)
    for number in range(count):
        found = disagreement(rng)
        assert not found, f"CRONQ_TEST_SEED={seed}, line {number}: {found}"


def test_random_lines_fire_when_cron_does() -> None:
    check(SEED, 60)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_random_lines_fire_when_cron_does() -> None:
    check(SEED, 4_000)
