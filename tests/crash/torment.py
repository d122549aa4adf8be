"""One life of torment: a scheduler after the other on one world, and the hands that kill and stop."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from cronq.worker import kernel
from tests.crash.program import DEADLINE_S, Event, Running
from tests.crash.torture_worlds import World, wait_for
from tests.crash.witness import Done, Findings

NEWS = ("run_queued", "attempt_started", "attempt_finished", "worker_lost", "run_adopted")
PATIENCE_S = 10.0
"""How long something may last that is to pass by itself: a zombie, a worker that leaves."""


@dataclass
class Torment:
    """One scheduler after the other on one world, and what is done to them.

    Attributes:
        kills: By kind of process.
        deeds: By name of the fault.
        diary: What was done, for whoever has to find out.
        events: What the schedulers told.
    """

    world: World
    dice: random.Random
    life: Running | None = None
    kills: Counter[str] = field(default_factory=Counter)
    deeds: Counter[str] = field(default_factory=Counter)
    done: Done = field(default_factory=Done)
    findings: Findings = field(default_factory=Findings)
    diary: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    _zombies: dict[tuple[int, int], float] = field(default_factory=dict)

    def note(self, text: str) -> None:
        self.diary.append(f"{time.monotonic() - self.began:8.3f} s  {text}")

    # The scheduler

    def alive(self) -> Running:
        """Return the living scheduler; start one if there is none."""
        if self.life is None:
            self.life = self.world.cronq.start()
            self.life.wait_for("scheduler_started")
            self.note(f"scheduler {self.life.process.pid}")
        return self.life

    def moment(self) -> Running:
        """Wait for news of the scheduler, and then for a moment more or less."""
        life = self.alive()
        life.pass_over()
        event = life.wait_for_any(*NEWS)
        self.note(f"after {event['event']} of {event.get('job')} #{event.get('run_id')}")
        self.pause(0.0, 0.04)
        return life

    def pause(self, least_s: float, most_s: float) -> None:
        """Let time pass: part of the random schedule of faults, never a guess about what happens in it."""
        time.sleep(self.dice.uniform(least_s, most_s))

    def bury(self) -> None:
        """Take note that the scheduler is dead."""
        if self.life is not None:
            self.life.process.wait(DEADLINE_S)
            self.life.pass_over()
            self.events += self.life.events
            self.life.close()
        self.life = None
        self._zombies.clear()

    # Kills

    def kill_scheduler(self) -> None:
        life = self.alive()
        self.note(f"kill scheduler {life.process.pid}")
        self.kills["scheduler"] += 1
        life.process.kill()

    def kill_workers(self, most: int = 1) -> None:
        for pid in self._some(self.world.workers(), most):
            # It must not begin anything between the look and the kill.
            kernel.send_signal(pid, signal.SIGSTOP, kernel.start_ticks(pid))
            wait_for(lambda pid=pid: _is_stopped(pid), PATIENCE_S)  # type: ignore[misc]
            self.done.orphaned |= self.world.attempts_of(pid)
            self.done.workers += 1
            self._kill(pid, "worker")

    def kill_commands(self, most: int = 1) -> None:
        keys = self.world.commands()
        for pid in self._some(keys, most):
            self.done.killed.add(keys[pid])
            self._kill(pid, f"command {keys[pid]}", "command")

    def _some(self, pids: Iterable[int], most: int) -> list[int]:
        found = sorted(pids)
        return self.dice.sample(found, min(most, len(found)))

    def _kill(self, pid: int, name: str, kind: str = "") -> None:
        if kernel.send_signal(pid, signal.SIGKILL, kernel.start_ticks(pid)):
            self.note(f"kill {name} {pid}")
            self.kills[kind or name] += 1

    # What must never be seen

    def look_for_zombies(self) -> None:
        """Find dead processes that the living scheduler, or a worker of it, does not wait for."""
        if self.life is None:
            return
        now = time.monotonic()
        seen = {}
        for pid in kernel.descendants_of(self.life.process.pid):
            info = kernel.process_info(pid)
            if info is not None and info.state == "Z":
                key = (pid, info.start_ticks)
                seen[key] = self._zombies.get(key, now)
                if now - seen[key] > PATIENCE_S:
                    self.findings.zombies.append(f"{info} for {now - seen[key]:.1f} s")
        self._zombies = seen


def _is_stopped(pid: int) -> bool:
    info = kernel.process_info(pid)
    return info is None or info.state in {"T", "Z", "X"}
