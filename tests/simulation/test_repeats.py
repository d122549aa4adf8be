"""Hours known by heart: the account is the same as when each of them is lived through."""

from __future__ import annotations

import random

import pytest

from cronq.cli._playing import is_steady
from cronq.model import SECOND, Claim, Definition, Overlap
from cronq.virtual import repeats
from cronq.virtual.account import Account
from cronq.virtual.clock import Window
from cronq.virtual.simulation import Simulated, simulate
from cronq.virtual.workers import Played
from tests.simulation.test_memory import CALENDAR, LOCKS, SEED, definition
from tests.simulation.world import TRUE, utc

DAY = 86_400 * SECOND


def counted(account: Account) -> object:
    """Return all that an account says."""
    jobs = {
        name: [getattr(one, slot) for slot in one.__slots__ if slot != "last_fire_at"]
        for name, one in account.jobs.items()
    }
    return jobs, account.clash, account.peak, account.busiest(1_000_000), account.close(0)


def both(
    definitions: dict[str, Definition], seconds: dict[str, float], period: Window, slots: int
) -> tuple[Simulated, Simulated]:
    """Live through a period in full, and by heart; all that is said of it must be the same."""
    found = []
    for by_heart in (False, True):

        def play(claim: Claim) -> Played:
            return Played(seconds[claim.run.job])

        account = Account(definitions, play)
        steady = is_steady(definitions, seconds, {})
        simulated = simulate(
            definitions,
            period,
            account,
            slots=slots,
            calendars={"closed": CALENDAR},
            locks=LOCKS,
            sums=account if by_heart and steady else None,
        )
        found.append((simulated, counted(account)))
    (full, account_in_full), (heart, account_by_heart) = found
    assert account_by_heart == account_in_full
    assert heart.jobs == full.jobs
    alike = [
        [
            (run.job, run.state, run.fire_at, run.started_at, run.available_at, run.attempt)
            for run in one.active
        ]
        for one in (heart, full)
    ]
    assert alike[0] == alike[1]
    assert full.known_by_heart == 0
    return full, heart


@pytest.mark.parametrize("number", range(8))
def test_random_weeks_are_the_same(number: int) -> None:
    print(f"CRONQ_SEED={SEED}, number {number}")
    dice = random.Random(SEED + number)
    definitions = {}
    for index in range(dice.choice([1, 6, 15])):
        one = definition(dice)
        moody = dice.random() < 0.05
        definitions[f"job{index}"] = one if moody else one._replace(jitter=None, blackouts=(), retries=0)
    seconds = {name: dice.choice([0.1, 20, 45, 600, 4_000, 40_000]) * 1.0 for name in definitions}
    start = utc("2026-03-20T00:00:00") + dice.choice([0, 7, 5 * 3_600]) * SECOND
    both(
        definitions, seconds, Window(start, start + round(dice.uniform(8, 11) * DAY)), dice.choice([1, 2, 32])
    )


def test_hours_that_are_alike_are_known_and_others_are_not() -> None:
    definitions = {
        "often": Definition(TRUE, "*/10 * * * *", overlap=Overlap.QUEUE),
        "nightly": Definition(TRUE, "30 2 * * *", tz="Europe/Berlin"),
        "weekly": Definition(TRUE, "0 9 * * 1"),
    }
    seconds = {"often": 720.0, "nightly": 3_600.0, "weekly": 60.0}
    start = utc("2026-03-02T00:00:00")
    _, heart = both(definitions, seconds, Window(start, start + 42 * DAY), 32)
    # The queue fills up at first; then there are nights and Mondays, in winter and in summer time.
    assert 42 * 24 - 120 <= heart.known_by_heart <= 42 * 24 - 8


def test_jobs_that_tell_hours_apart_let_all_be_lived_through() -> None:
    definitions = {"shy": Definition(TRUE, "0 * * * *", blackouts=("mon 09:00-11:00:defer",))}
    start = utc("2026-03-02T00:00:00")
    _, heart = both(definitions, {"shy": 60.0}, Window(start, start + 9 * DAY), 32)
    assert heart.known_by_heart == 0


def test_stable_jitter_is_the_same_each_hour() -> None:
    definitions = {"late": Definition(TRUE, "0 * * * *", jitter="20m")}
    start = utc("2026-03-02T00:00:00")
    _, heart = both(definitions, {"late": 60.0}, Window(start, start + 9 * DAY), 32)
    assert heart.known_by_heart >= 9 * 24 - 3


def test_herd_that_waits_over_midnight_is_the_same() -> None:
    definitions = {f"job{n}": Definition(TRUE, "50 23 * * *", priority=n % 3) for n in range(40)}
    seconds = {name: 100.0 + 37 * index for index, name in enumerate(definitions)}
    start = utc("2026-03-02T00:00:00")
    _, heart = both(definitions, seconds, Window(start, start + 9 * DAY), 3)
    assert heart.known_by_heart >= 5


def test_account_is_the_same_when_hours_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "MOST", 1)
    definitions = {"daily": Definition(TRUE, "0 3 * * *"), "work": Definition(TRUE, "0 9 * * 1-5")}
    start = utc("2026-03-02T00:00:00")
    _, heart = both(definitions, {"daily": 60.0, "work": 60.0}, Window(start, start + 28 * DAY), 32)
    assert 28 * 20 <= heart.known_by_heart <= 28 * 22  # only an hour like the one before
