"""One scheduler's life in memory, which can be left and gone on with elsewhere in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, cast

from cronq.model import Claim, Job, Micros, Run
from cronq.plan import FireTimes
from cronq.scheduler import Options, Scheduler
from cronq.store.base import Store
from cronq.virtual.clock import VirtualClock
from cronq.virtual.memory import MemoryStore, Reader
from cronq.virtual.workers import Played, PlayedWorkers, Running

BOOT = "simulated"


class Player(Reader, Protocol):
    """Says what processes do, and reads what comes of it."""

    def play(self, claim: Claim, now: Micros) -> Played:
        """Return what the process of a claim does that starts now."""


class Rules(NamedTuple):
    """What does not change in a simulation.

    Attributes:
        jobs: As they are at its beginning.
        times: Their fire times, by number.
        startup: The numbers of those with `@reboot`.
    """

    jobs: Sequence[Job]
    times: Mapping[int, FireTimes]
    startup: Sequence[int]
    calendars: Mapping[str, str]
    locks: Mapping[str, int]
    slots: int


class Life:
    """The scheduler, its ledger, its workers and its clock."""

    def __init__(self, rules: Rules, player: Player, now: Micros, jobs: Sequence[Job] | None = None) -> None:
        """Begin with nothing queued; `jobs` are as they are now."""
        self.clock = VirtualClock(now)
        self.memory = MemoryStore(
            rules.jobs if jobs is None else jobs,
            player,
            startup=rules.startup,
            calendars=rules.calendars,
            locks=rules.locks,
        )
        self.store = cast("Store", self.memory)
        self.workers = PlayedWorkers(
            self.clock, lambda: self.store, rules.slots, lambda claim: player.play(claim, self.clock.wall)
        )
        self._options = Options(slots=rules.slots)
        self._scheduler: Scheduler | None = None

    def live_until(self, wall: Micros) -> None:
        """Let a scheduler live until just before what happens at an instant."""
        rung: list[bool] = []
        self.clock.first_at(wall, lambda: rung.append(True))
        if self._scheduler is None:
            self._scheduler = self._begin()
            self._scheduler.turn()
        while True:
            # Nothing outside can ring, no ticker ticks, and nobody sets the clock: only what the store knows
            # of, and what was announced to the clock, can give the scheduler anything to do.
            self.clock.wait(self.store.next_wake(self.clock.wall))
            if rung:
                return
            self._scheduler.turn()

    def be_down_until(self, wall: Micros) -> None:
        """Let time pass without a scheduler."""
        self._scheduler = None
        self.workers.orphan()
        rung: list[bool] = []
        self.clock.first_at(wall, lambda: rung.append(True))
        while not rung:
            self.clock.wait(None)

    def go_on(self, runs: Sequence[Run], running: Sequence[Running]) -> None:
        """Be in the midst of a life: with these runs, of which those run."""
        self.memory.take(BOOT, runs, {one.claim.run.id: one.claim for one in running})
        for one in running:
            self.workers.go_on(one)
        self._scheduler = self._begin()

    def _begin(self) -> Scheduler:
        self.workers.has_scheduler = True
        scheduler = Scheduler(self.store, self.workers, self.clock, boot_id=BOOT, options=self._options)
        scheduler.start()
        return scheduler
