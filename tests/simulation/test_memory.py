"""The ledger in memory against the real one: the same random worlds, and every row the same."""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Callable, Sequence

import pytest

from cronq.model import (
    SECOND,
    AttemptEnd,
    CatchUp,
    Claim,
    Definition,
    Micros,
    OnCrash,
    Outcome,
    Overlap,
    Run,
    State,
)
from cronq.plan import Active, Launch
from cronq.store import RunQuery
from cronq.virtual.simulation import Window, simulate
from cronq.virtual.workers import Played
from tests.simulation.world import TRUE, World, utc

HOUR, DAY = 3_600, 86_400
START = "2026-03-26T00:00:07"
"""A second that is no fire time: what was added then fires after it, in both."""
CALENDAR = "2026-03-27\n2026-03-30..2026-03-31\n"
LOCKS = {"db": 1, "gpu": 2}


class Rows:
    """Keeps every row that was written, as it came to be."""

    def __init__(self, play: Callable[[Claim], Played]) -> None:
        self.rows: dict[int, Run] = {}
        self.starts = 0
        self._play = play

    def play(self, claim: Claim, now: Micros) -> Played:
        self.starts += 1
        return self._play(claim)

    def launched(self, launch: Launch, active: Active, runs: Sequence[Run]) -> None:
        for run in runs:
            assert run.id not in self.rows
            self.rows[run.id] = run

    def ended(self, claim: Claim, end: AttemptEnd, after: Run) -> None:
        self.rows[after.id] = after

    def cancelled(self, run: Run) -> None:
        self.rows[run.id] = run


def schedule(dice: random.Random) -> str:
    minute = dice.randrange(60)
    return dice.choice(
        [
            *("*/5 * * * *", "*/15 * * * *", "0 * * * *", "*/10 * * * *", "every 7m"),
            *(f"{minute} * * * *", f"{minute} */6 * * *", f"{minute} 2 * * *", "30 2 * * *", "0 0 * * *"),
            *("@reboot", "at 2026-03-28T02:30", f"{minute} 9 * * mon ; 0 17 * * fri"),
        ]
    )


def definition(dice: random.Random) -> Definition:
    overlap = dice.choice(list(Overlap))
    return Definition(
        TRUE,
        schedule(dice),
        tz=dice.choice(["UTC", "Europe/Berlin", "Europe/Berlin", "Asia/Kolkata"]),
        overlap=overlap,
        max_running=dice.choice([None, 2, 3]) if overlap is Overlap.ALLOW else dice.choice([1, 1, 2]),
        max_queued=dice.choice([1, 3, 10]),
        catch_up=dice.choice(list(CatchUp)),
        catch_up_limit=dice.choice([2, 100]),
        catch_up_window_s=dice.choice([2.0 * HOUR, 7.0 * DAY]),
        grace_s=dice.choice([1.0, 60.0, 600.0]),
        retries=dice.choice([0, 0, 3]),
        retry_delay_s=dice.choice([1.0, 30.0, 600.0]),
        on_crash=dice.choice(list(OnCrash)),
        timeout_s=dice.choice([None, 600.0]),
        priority=dice.choice([0, 0, 5]),
        jitter=dice.choice([None, None, "5m", "random:20m"]),
        blackouts=dice.choice([(), (), ("mon-fri 09:00-11:00:defer",), ("01:30-03:30:drop",)]),
        calendars=dice.choice([(), (), ("closed:skip",), ("closed:next",)]),
        locks=dice.choice([(), (), (), ("db",), ("gpu",), ("db", "gpu")]),
    )


def player(seed: int) -> Callable[[Claim], Played]:
    """Return what commands do, by hash: both worlds must get the same for the same attempt."""

    def play(claim: Claim) -> Played:
        run = claim.run
        dice = random.Random(zlib.crc32(f"{seed} {run.job} {run.logical_at} {run.attempt}".encode()))
        seconds = dice.choice([0.1, 2, 20, 45, 200, 600, 600, 1_800, 9_000])
        return Played(seconds, dice.choice([Outcome.SUCCESS, Outcome.SUCCESS, Outcome.FAILURE]))

    return play


def windows(dice: random.Random, period: Window) -> list[Window]:
    found, at = [], period.start
    for _ in range(dice.randrange(4)):
        start = at + round(dice.uniform(60, 30 * HOUR) * SECOND)
        at = start + round(dice.choice([60, HOUR, 9 * HOUR]) * dice.uniform(0.5, 1.5) * SECOND)
        if at < period.end:
            found.append(Window(start, at))
    return found


SEED = int(os.environ.get("CRONQ_SEED", random.SystemRandom().randrange(2**32)))


def live_in_both(world: Callable[..., World], seed: int, *, days: int) -> int:
    """Let the same jobs live in both; return how many rows there were."""
    dice = random.Random(seed)
    period = Window(utc(START), utc(START) + days * DAY * SECOND)
    definitions = {f"job{number}": definition(dice) for number in range(dice.choice([1, 5, 20]))}
    slots = dice.choice([1, 3, 32])
    paused = frozenset(name for name in definitions if dice.random() < 0.05)
    down = windows(dice, period)
    play = player(seed)

    rows = Rows(play)
    simulated = simulate(
        definitions,
        period,
        rows,
        down=down,
        slots=slots,
        paused=paused,
        calendars={"closed": CALENDAR},
        locks=LOCKS,
    )
    assert not simulated.unreadable
    rows.rows.update({run.id: run for run in simulated.active})

    real = world(START, play=play, slots=slots)
    real.store.set_calendar("closed", CALENDAR, now=period.start - DAY * SECOND)
    for name, capacity in LOCKS.items():
        real.store.set_lock(name, capacity, now=period.start)
    for name, one in definitions.items():
        real.add(name, one.schedule, **{k: v for k, v in one._asdict().items() if k != "schedule"})
        if name in paused:
            real.pause(name)
    for gap in down:
        real.run_until(gap.start)
        real.be_down_until(gap.end)
    real.run_until(period.end)

    expected = {run.id: run for run, _ in real.store.runs(RunQuery(limit=1_000_000))}
    assert rows.rows.keys() == expected.keys()
    for run_id, run in sorted(expected.items()):
        # Which of several idle workers took it is of no consequence.
        mine = rows.rows[run_id]._replace(worker=run.worker)
        if run.state is State.RUNNING:
            # The look that the real scheduler takes each minute has written down a start at the very end.
            mine = mine._replace(started_at=run.started_at)
        assert mine == run, (mine, run)
    marks = {overview.job.name: overview.job.next_fire_at for overview in real.store.overviews(recent=0)}
    assert {job.name: job.next_fire_at for job in simulated.jobs} == marks
    assert rows.starts == len(real.workers.starts)
    return len(expected)


@pytest.mark.parametrize("number", range(8))
def test_worlds_in_memory_and_in_the_database_are_the_same(world: Callable[..., World], number: int) -> None:
    print(f"CRONQ_SEED={SEED}, world {number}")
    live_in_both(world, SEED + number, days=4)


@pytest.mark.parametrize(
    ("seed", "days"),
    [
        pytest.param(1022236140, 8, id="those of one job that wait each keep their place in a line"),
        pytest.param(702600435, 8, id="a replaced run does not stand for one that waits"),
    ],
)
def test_worlds_that_once_differed_are_the_same(world: Callable[..., World], seed: int, days: int) -> None:
    live_in_both(world, seed, days=days)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_worlds_in_memory_and_in_the_database_are_the_same(world: Callable[..., World]) -> None:
    total = 0
    for number in range(150):
        print(f"CRONQ_SEED={SEED}, world {number}")
        total += live_in_both(world, SEED + number, days=8)
    assert total > 10_000


def test_states_that_are_compared_do_occur(world: Callable[..., World]) -> None:
    """A comparison of worlds in which nothing happens would prove nothing."""
    seen: set[object] = set()
    for number in range(12):
        dice = random.Random(number)
        period = Window(utc(START), utc(START) + 4 * DAY * SECOND)
        definitions = {f"job{n}": definition(dice) for n in range(20)}
        rows = Rows(player(number))
        simulated = simulate(
            definitions,
            period,
            rows,
            down=windows(dice, period),
            slots=3,
            calendars={"closed": CALENDAR},
            locks=LOCKS,
        )
        seen |= {run.outcome for run in rows.rows.values()} | {run.trigger for run in rows.rows.values()}
        seen |= {run.reason.split(":")[0].split(" ")[0] for run in rows.rows.values()}
        seen |= {run.state for run in simulated.active} | {
            f"attempt {run.attempt}" for run in rows.rows.values()
        }
    assert {*Outcome} - {Outcome.ABANDONED} <= seen
    assert {State.QUEUED, State.RUNNING, "startup", "catch_up", "schedule", "attempt 4"} <= seen
    assert {"overlap", "late", "blackout", "replaced", "exit", "timeout"} <= seen
