"""What the torture does to a running cronq: one function for each fault, taken by the roll of a dice."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from cronq.worker import kernel
from tests.crash.program import DEADLINE_S, Running
from tests.crash.torment import NEWS, PATIENCE_S, Torment
from tests.crash.torture_worlds import World, wait_for
from tests.crash.witness import parse_time

Deed = Callable[[Torment], None]


class Fault(NamedTuple):
    """Something that is done to a world.

    Attributes:
        share: How often, as compared with others.
        fits: Whether it can be done to a world.
    """

    name: str
    do: Deed
    share: int
    fits: Callable[[World], bool]


FAULTS: list[Fault] = []


def fault(
    name: str, share: int, fits: Callable[[World], bool] = lambda _world: True
) -> Callable[[Deed], Deed]:
    """Put a function on the list."""

    def put(do: Deed) -> Deed:
        FAULTS.append(Fault(name, do, share, fits))
        return do

    return put


def next_fault(world: World, dice: random.Random) -> Fault:
    """Roll the dice."""
    found = [one for one in FAULTS if one.fits(world)]
    return dice.choices(found, [one.share for one in found])[0]


@fault("kill -9 scheduler", 6)
def _kill_scheduler(t: Torment) -> None:
    t.moment()
    t.kill_scheduler()
    t.bury()
    # At times the next one finds nobody: its workers leave by themselves.
    if t.dice.random() < 0.3 and not wait_for(lambda: not t.world.workers(), PATIENCE_S):
        t.findings.stuck.append(f"workers of a dead scheduler: {t.world.workers()}")


@fault("kill -9 workers", 8)
def _kill_workers(t: Torment) -> None:
    for _ in range(t.dice.randint(2, 6)):
        t.moment()
        t.kill_workers(most=t.dice.randint(1, 5))


@fault("kill -9 commands", 8)
def _kill_commands(t: Torment) -> None:
    for _ in range(t.dice.randint(2, 6)):
        t.moment()
        t.kill_commands(most=t.dice.randint(1, 5))


@fault("kill -9 scheduler and workers", 4)
def _kill_scheduler_and_workers(t: Torment) -> None:
    t.moment()
    _in_any_order(t, t.kill_scheduler, lambda: t.kill_workers(most=t.dice.choice([1, 2, 100])))
    t.bury()


@fault("kill -9 all three", 3)
def _kill_all_three(t: Torment) -> None:
    t.moment()
    most = t.dice.choice([1, 100])
    _in_any_order(t, t.kill_scheduler, lambda: t.kill_workers(most), lambda: t.kill_commands(most))
    t.bury()


def _in_any_order(t: Torment, *kills: Callable[[], None]) -> None:
    order = list(kills)
    t.dice.shuffle(order)
    for kill in order:
        kill()


@fault("kill -9 scheduler while it starts", 2)
def _kill_in_the_start(t: Torment) -> None:
    t.moment()
    t.kill_scheduler()
    t.bury()
    life = t.life = t.world.cronq.start()
    if t.dice.random() < 0.5:
        life.wait_for("scheduler_started")
    t.pause(0.0, 0.3)
    t.kill_scheduler()
    t.bury()


@fault("stop and start in order", 2)
def _stop_in_order(t: Torment) -> None:
    life = t.moment()
    life.signal(signal.SIGTERM)
    code = life.ended()
    if code != 0:
        t.findings.stuck.append(f"scheduler ended with {code} after SIGTERM: {life.errors()}")
    t.bury()


@fault("SIGSTOP scheduler for a moment", 3)
def _suspend_scheduler(t: Torment) -> None:
    _suspend(t, t.moment().process.pid, 0.05, 0.4)


@fault("SIGSTOP scheduler over fire times", 2)
def _suspend_scheduler_long(t: Torment) -> None:
    life = t.moment()
    life.pass_over()
    _suspend(t, life.process.pid, 2.0, 3.5)
    life.wait_for("run_queued")


@fault("SIGSTOP scheduler, then kill -9", 1)
def _kill_suspended_scheduler(t: Torment) -> None:
    life = t.moment()
    life.signal(signal.SIGSTOP)
    t.kill_workers(most=t.dice.randint(0, 2))
    t.pause(0.0, 1.5)
    t.kill_scheduler()
    t.bury()


@fault("SIGSTOP worker for a moment", 3)
def _suspend_worker(t: Torment) -> None:
    t.moment()
    workers = t.world.workers()
    if workers:
        _suspend(t, t.dice.choice(sorted(workers)), 0.05, 0.6)


def _suspend(t: Torment, pid: int, least_s: float, most_s: float) -> None:
    ticks = kernel.start_ticks(pid)
    t.note(f"stop {pid}")
    kernel.send_signal(pid, signal.SIGSTOP, ticks)
    t.pause(least_s, most_s)
    kernel.send_signal(pid, signal.SIGCONT, ticks)
    t.note(f"continue {pid}")


@fault("second scheduler beside the first", 2)
def _rival(t: Torment) -> None:
    life = t.moment()
    rival = t.world.cronq.start()
    code = rival.ended()
    if code != 4 or str(life.process.pid) not in rival.errors():
        t.findings.doubled.append(f"second scheduler ended with {code}: {rival.errors()}")
    rival.close()
    if life.process.poll() is not None:
        t.findings.lost.append("the first scheduler ended because of a second")


@fault("two schedulers started at once", 2)
def _two_at_once(t: Torment) -> None:
    t.moment()
    t.kill_scheduler()
    t.bury()
    two = [t.world.cronq.start() for _ in range(2)]
    ended = wait_for(lambda: any(one.process.poll() is not None for one in two), DEADLINE_S)
    losers = [one for one in two if one.process.poll() is not None]
    if not ended or len(losers) != 1 or losers[0].process.returncode != 4:
        t.findings.doubled.append(f"of two schedulers ended: {[one.errors() for one in losers]}")
    for one in two:
        if one in losers:
            one.close()
        else:
            t.life = one
            one.wait_for("scheduler_started")


@fault("full disk", 8, lambda world: world.fill is not None)
def _fill_disk(t: Torment) -> None:
    assert t.world.fill is not None
    t.moment().pass_over()
    free = t.world.fill()
    t.note("disk full")
    starts = False
    try:
        what = t.dice.random()
        if what < 0.4:
            _meet_full_disk(t)
        elif what < 0.7:
            t.kill_workers(most=t.dice.randint(1, 3))
            _meet_full_disk(t)
        else:
            t.kill_scheduler()
            t.bury()
            starts = True
            _start_on_full_disk(t)
        t.pause(0.0, 1.0)
    finally:
        free()
        t.note("disk free")
    if starts and t.life is not None and not t.life.hears("attempt_finished"):
        # It had told that it starts, and then met with the full disk before it was ready.
        _refused(t, t.life)
        t.bury()
    t.alive().wait_for("attempt_finished")


def _meet_full_disk(t: Torment) -> None:
    """Wait until the scheduler has met with the full disk, or does well in what it has got."""
    for _ in range(t.dice.randint(1, 8)):
        event = t.alive().wait_for_any("notice", *NEWS)
        if event["event"] == "notice":
            t.deeds["full disk told"] += 1
            return


def _start_on_full_disk(t: Torment) -> None:
    """Start a scheduler: it starts, or says that the disk is full and ends with 5."""
    life = t.world.cronq.start()
    if life.has_news():
        t.life = life
        return
    _refused(t, life)
    life.close()


def _refused(t: Torment, life: Running) -> None:
    code, errors = life.ended(), life.errors()
    if code != 5 or "full" not in errors:
        t.findings.stuck.append(f"on a full disk the scheduler ended with {code}: {errors}")
    t.deeds["full disk refused a start"] += 1


def _has_clock(world: World) -> bool:
    return world.stamp is not None


@fault("clock forward", 3, _has_clock)
def _clock_forward(t: Torment) -> None:
    life = t.moment()
    life.pass_over()
    _step(t, t.dice.uniform(0.5, 4.0))
    life.wait_for("run_queued")


@fault("clock a little back", 3, _has_clock)
def _clock_back(t: Torment) -> None:
    t.moment()
    _step(t, -t.dice.uniform(0.1, 4.0))


@fault("clock an hour back, and right again", 3, _has_clock)
def _clock_far_back(t: Torment) -> None:
    """With the clock in the past nothing fires, but what is asked for runs; then time goes on."""
    t.moment()
    far_s = t.dice.uniform(600.0, 4000.0)
    _step(t, -far_s)
    if t.dice.random() < 0.5:
        t.kill_scheduler()
        t.bury()
    life = t.alive()
    life.pass_over()
    (run,) = json.loads(t.world.cronq("trigger", "allow", "--json"))["runs"]
    life.wait_for("attempt_started", run_id=run["id"])
    for event in life.events:
        # What fired just before the step may be told after it, but with the time of before.
        if event["event"] == "run_queued" and parse_time(event["at"]) < t.world.now() + timedelta(minutes=5):
            t.findings.doubled.append(f"fired while the clock was {far_s:.0f} s back: {event}")
    _step(t, far_s + t.dice.uniform(0.0, 3.0))


def _step(t: Torment, by_s: float) -> None:
    t.note(f"clock {by_s:+.3f} s")
    t.world.set_clock(t.world.shift_s + by_s)
