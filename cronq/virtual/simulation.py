"""A period of virtual time: the real scheduler over jobs in memory, with times at which it is not there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, cast

from cronq.errors import CronqError
from cronq.model import SECOND, Claim, Definition, Job, Micros, Run
from cronq.scheduler import Options, Scheduler
from cronq.store.base import Store
from cronq.timing import fire_times
from cronq.virtual.clock import VirtualClock
from cronq.virtual.memory import MemoryStore, Reader
from cronq.virtual.workers import Played, PlayedWorkers

BOOT = "simulated"


class Window(NamedTuple):
    """From an instant up to, not including, another."""

    start: Micros
    end: Micros


class Player(Reader, Protocol):
    """Says what processes do, and reads what comes of it."""

    def play(self, claim: Claim, now: Micros) -> Played:
        """Return what the process of a claim does that starts now."""


class Simulated(NamedTuple):
    """What was simulated.

    Attributes:
        jobs: As they are at the end.
        active: Their runs that are not done then.
        unreadable: Jobs that could not be simulated, and why.
    """

    jobs: tuple[Job, ...]
    active: tuple[Run, ...]
    unreadable: Mapping[str, CronqError]


def simulate(
    definitions: Mapping[str, Definition],
    period: Window,
    player: Player,
    *,
    down: Sequence[Window] = (),
    slots: int = 32,
    paused: frozenset[str] = frozenset(),
    calendars: Mapping[str, str] | None = None,
    locks: Mapping[str, int] | None = None,
) -> Simulated:
    """Let a scheduler live through a period that begins with nothing running.

    Args:
        definitions: By the names of the jobs.
        period: From its first instant, a fire time at which counts, up to its end.
        player: Plays the commands, and keeps the account.
        down: When there is no scheduler; what runs goes on, as it does in the real world. Ascending.
        slots: Runs at a time.
        paused: Jobs that do not fire.
        calendars: The named calendars' texts.
        locks: How many may hold each named lock.
    """
    jobs, startup, unreadable = _jobs(definitions, period.start, paused, calendars or {})
    memory = MemoryStore(jobs, player, startup=startup, calendars=calendars, locks=locks)
    store = cast("Store", memory)
    clock = VirtualClock(period.start)
    workers = PlayedWorkers(clock, lambda: store, slots, lambda claim: player.play(claim, clock.wall))
    at = period.start
    for gap in (*down, Window(period.end, period.end)):
        _live(store, workers, clock, min(gap.start, period.end), slots)
        at = min(max(at, gap.end), period.end)
        _be_down(workers, clock, at)
    return Simulated(tuple(memory.jobs), tuple(memory.active), unreadable)


def _jobs(
    definitions: Mapping[str, Definition],
    start: Micros,
    paused: frozenset[str],
    calendars: Mapping[str, str],
) -> tuple[list[Job], list[int], dict[str, CronqError]]:
    jobs, startup, unreadable = [], [], {}
    for number, (name, definition) in enumerate(definitions.items(), 1):
        try:
            times = fire_times(definition, name, calendars)
        except CronqError as error:
            unreadable[name] = error
            continue
        if times.at_startup:
            startup.append(number)
        paused_at = start if name in paused else None
        jobs.append(Job(number, name, 1, definition, start, start, times.next_us(start - 1), paused_at))
    return jobs, startup, unreadable


def _live(store: Store, workers: PlayedWorkers, clock: VirtualClock, end: Micros, slots: int) -> None:
    if clock.wall >= end:
        return
    workers.has_scheduler = True
    scheduler = Scheduler(store, workers, clock, boot_id=BOOT, options=Options(slots=slots))
    is_over = _alarm(clock, end)
    scheduler.start()
    while True:
        scheduler.turn()
        # Nothing outside can ring, no ticker ticks, and nobody sets the clock: only what the store knows of,
        # and what was announced to the clock, can give it anything to do.
        clock.wait(store.next_wake(clock.wall))
        if is_over():
            break
    workers.orphan()


def _be_down(workers: PlayedWorkers, clock: VirtualClock, end: Micros) -> None:
    workers.has_scheduler = False
    is_over = _alarm(clock, end)
    while not is_over():
        clock.wait(None)


def _alarm(clock: VirtualClock, end: Micros) -> Callable[[], bool]:
    rung: list[bool] = []
    clock.after((end - clock.wall) / SECOND, lambda: rung.append(True))
    return lambda: bool(rung)
