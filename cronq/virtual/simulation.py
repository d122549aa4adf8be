"""A period of virtual time: the real scheduler over jobs in memory, with times at which it is not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cronq.errors import CronqError
from cronq.model import Definition, Job, Micros, Run
from cronq.plan import FireTimes
from cronq.timing import fire_times
from cronq.virtual.clock import Window
from cronq.virtual.life import Life, Player, Rules
from cronq.virtual.repeats import Repeating, Summing

__all__ = ["Player", "Simulated", "Window", "simulate"]


class Simulated(NamedTuple):
    """What was simulated.

    Attributes:
        jobs: As they are at the end.
        active: Their runs that are not done then.
        unreadable: Jobs that could not be simulated, and why.
        known_by_heart: How many hours were not lived through again, being the same as one before.
    """

    jobs: tuple[Job, ...]
    active: tuple[Run, ...]
    unreadable: Mapping[str, CronqError]
    known_by_heart: int


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
    sums: Summing | None = None,
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
        sums: The player once more, if what it plays depends on nothing but the job, and it can count an hour
            again that was lived through before.
    """
    rules, unreadable = _rules(definitions, period.start, paused, calendars or {}, locks or {}, slots)
    if sums is not None and not down:
        life, known = Repeating(rules, sums).live(period)
    else:
        life, known = Life(rules, player, period.start), 0
        for gap in down:
            life.live_until(gap.start)
            life.be_down_until(min(gap.end, period.end))
        if life.clock.wall < period.end:
            life.live_until(period.end)
    life.be_down_until(period.end)
    return Simulated(tuple(life.memory.jobs), tuple(life.memory.active), unreadable, known)


def _rules(
    definitions: Mapping[str, Definition],
    start: Micros,
    paused: frozenset[str],
    calendars: Mapping[str, str],
    locks: Mapping[str, int],
    slots: int,
) -> tuple[Rules, dict[str, CronqError]]:
    jobs: list[Job] = []
    startup: list[int] = []
    known: dict[int, FireTimes] = {}
    unreadable: dict[str, CronqError] = {}
    for number, (name, definition) in enumerate(definitions.items(), 1):
        try:
            times = fire_times(definition, name, calendars)
        except CronqError as error:
            unreadable[name] = error
            continue
        known[number] = times
        if times.at_startup:
            startup.append(number)
        paused_at = start if name in paused else None
        jobs.append(Job(number, name, 1, definition, start, start, times.next_us(start - 1), paused_at))
    return Rules(jobs, known, startup, calendars, locks, slots), unreadable
