"""A world of its own: one private database, one virtual clock, played workers, at most one scheduler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cronq import events
from cronq.model import SECOND, Micros
from cronq.scheduler import Options, Scheduler
from cronq.store import Place, Store
from cronq.store.sqlite import open_store
from cronq.sweep import Sweep
from cronq.virtual.clock import VirtualClock
from cronq.virtual.workers import Play, Played, PlayedWorkers
from cronq.worker.base import Workers


@dataclass
class VirtualWorld:
    """The real scheduler and the real ledger; only time and processes are played.

    Attributes:
        folder: For the database; nobody else's.
        now: When it begins.
        play: What the command of each claim does.
        slots: Runs at a time.
        boot_id: Of the machine; another one after `lose_power`.
        told: The events so far.
    """

    folder: Path
    now: Micros
    play: Play = lambda _claim: Played()
    slots: int = 32
    boot_id: str = "boot-1"
    told: list[events.Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._boots = 1
        self.clock = VirtualClock(self.now)
        self.place = self.locate()
        self.store = self.create()
        self.workers = self.hire()

    def locate(self) -> Place:
        """Return where the ledger of this world is."""
        return Place(self.folder / "cronq.db", self.folder / "logs", "virtual world")

    def create(self) -> Store:
        """Make the ledger; return it for the schedulers of this world, who follow each other."""
        return open_store(self.place, create=True, for_scheduler=True, durable=False)

    def hire(self) -> PlayedWorkers:
        """Return the workers of this world."""
        return PlayedWorkers(self.clock, self.open, self.slots, lambda claim: self.play(claim))

    def open(self) -> Store:
        """Open the ledger once more, as somebody else does."""
        return open_store(self.place, durable=False)

    def close(self) -> None:
        """End this world; its database stays."""
        self.store.close()

    def tell(self, event: events.Event) -> None:
        """Take an event of the scheduler."""
        self.told.append(event)

    def run_until(self, wall: Micros, **options: object) -> None:
        """Let a scheduler live until this wall time, or until its options end it."""
        self.live_once(self.store, self.workers, self._after(wall), **options)

    def live_once(self, store: Store, workers: Workers, elapsed: Micros, **options: object) -> bool:
        """Let one scheduler live until so much time has passed in all; return whether it ended by itself."""
        self.workers.has_scheduler = True
        scheduler = Scheduler(
            store,
            workers,
            self.clock,
            boot_id=self.boot_id,
            options=Options(slots=self.slots, **options),  # type: ignore[arg-type]
            tell=self.tell,
        )
        scheduler.tickers.append(Sweep(self.place, self.clock, self.told.append).ticker)
        is_over = self._alarm(elapsed)
        try:
            scheduler.start()
            while not is_over() and not scheduler.turn():
                scheduler.sleep()
        finally:
            self.workers.orphan()
        return scheduler.stage > 0

    def be_down_until(self, wall: Micros) -> None:
        """Let time pass without a scheduler; commands that run go on."""
        is_over = self._alarm(self._after(wall))
        while not is_over():
            self.clock.wait(None)

    def lose_power(self) -> None:
        """Kill all that runs, as a machine does that stops."""
        self.workers.die()
        self._boots += 1
        self.boot_id = f"boot-{self._boots}"

    def _after(self, wall: Micros) -> Micros:
        """Return how much time will have passed in all at a wall time."""
        return self.clock.elapsed + wall - self.clock.wall

    def _alarm(self, elapsed: Micros) -> Callable[[], bool]:
        rung: list[bool] = []
        self.clock.after((elapsed - self.clock.elapsed) / SECOND, lambda: rung.append(True))
        return lambda: bool(rung)
