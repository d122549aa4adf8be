"""The dead man's switch over ledgers of the real scheduler: silent while all is well, and not after."""

from __future__ import annotations

from collections.abc import Callable

from cronq.cli._watched import verdicts
from cronq.model import SECOND, CatchUp, Claim, Micros, Outcome
from cronq.overdue import Standing
from tests.simulation.world import Played, World, utc

Worlds = Callable[..., World]
MINUTE = 60 * SECOND


def overdue(w: World, within_s: float | None = None) -> list[str]:
    windows: dict[str | None, float] = {} if within_s is None else {None: within_s}
    found = verdicts(w.store, [], w.clock.wall, windows=windows, late_s=None)
    return [verdict.name for verdict in found if verdict.standing is Standing.OVERDUE]


class Alarms(list[tuple[Micros, str]]):
    """Looks every so often, and remembers who was overdue."""

    def __init__(self, w: World, every_s: float) -> None:
        self._world = w
        self._every_s = every_s
        w.clock.after(every_s, self._look)

    def _look(self) -> None:
        self += [(self._world.clock.wall, name) for name in overdue(self._world)]
        self._world.clock.after(self._every_s, self._look)

    def names(self) -> set[str]:
        return {name for _, name in self}


def played(claim: Claim) -> Played:
    name = claim.run.job
    if name == "flaky" and claim.run.attempt < 3:
        return Played(30.0, Outcome.FAILURE)
    return Played({"long": 95.0, "slow": 1500.0, "flaky": 30.0}.get(name, 2.0))


def test_no_alarm_while_all_is_well(world: Worlds) -> None:
    """Four days with a clock change: overlaps, retries, jitter, blackouts, a pause, and a new schedule."""
    w = world("2026-03-27T00:00:00", play=played)
    w.add("often", "*/7 * * * *")
    w.add("long", "* * * * *")  # longer than its interval: every other fire time is skipped
    w.add("slow", "0 * * * *", tz="Europe/Berlin", timeout_s=1800.0)
    w.add("night", "30 2 * * *", tz="Europe/Berlin")
    w.add("flaky", "5 * * * *", retries=3, retry_delay_s=60.0)
    w.add("late", "0 3 * * *", jitter="45m")
    w.add("held", "0 * * * *", blackouts=("09:00-12:30:defer",))
    w.add("dropped", "*/30 * * * *", blackouts=("20:00-06:00:drop",))
    w.add("once", "at 2026-03-27T10:00:00")
    w.add("paused", "*/10 * * * *")
    w.add("changed", "0 5 * * *")
    alarms = Alarms(w, 211.0)
    w.run_until(utc("2026-03-28T12:01:00"))
    w.pause("paused")
    w.set("changed", schedule="0 4 * * *")
    w.run_until(utc("2026-03-29T17:03:00"))
    w.resume("paused")
    w.set("changed", timeout_s=5.0)
    w.run_until(utc("2026-03-31T00:00:00"))
    assert alarms == []
    assert overdue(w, within_s=26 * 3600) == []
    w.check()


def test_outage_is_noticed_and_over_when_it_is_made_up_for(world: Worlds) -> None:
    w = world(play=played)
    w.add("often", "*/10 * * * *")
    w.add("daily", "0 12 * * *")
    w.add("skips", "0 * * * *", catch_up=CatchUp.SKIP)
    w.run_until(utc("2026-03-03T00:05:00"))
    alarms = Alarms(w, 30.0)
    w.be_down_until(utc("2026-03-03T06:30:00"))
    first = {name: min(at for at, who in alarms if who == name) for name in alarms.names()}
    assert set(first) == {"often", "skips"}
    # One minute of grace, two seconds that a success takes, and the time between two looks.
    assert utc("2026-03-03T00:11:02") <= first["often"] <= utc("2026-03-03T00:11:32")
    assert utc("2026-03-03T01:01:02") <= first["skips"] <= utc("2026-03-03T01:01:32")
    w.run_until(utc("2026-03-03T06:31:00"))
    assert overdue(w) == ["skips"]  # nothing was made up for
    w.run_until(utc("2026-03-03T07:01:00"))
    assert overdue(w) == []


def test_failures_are_noticed_after_the_last_retry_could_have_come(world: Worlds) -> None:
    broken = [False]
    w = world(play=lambda _claim: Played(10.0, Outcome.FAILURE if broken[0] else Outcome.SUCCESS))
    w.add("job", "0 * * * *", retries=2, retry_delay_s=60.0, retry_factor=2.0)
    w.run_until(utc("2026-03-02T03:30:00"))
    broken[0] = True
    alarms = Alarms(w, 1.0)
    w.run_until(utc("2026-03-02T04:30:00"))
    # 60 s of grace, three times 10 s, and delays of 60 s and 120 s.
    assert alarms[0] == (utc("2026-03-02T04:04:30"), "job")
