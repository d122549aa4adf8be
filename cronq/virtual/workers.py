"""Workers without processes: what a command would do is told to them, and takes virtual time."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Container, Iterable, Sequence
from typing import NamedTuple

from cronq.errors import InvariantError
from cronq.model import SECOND, AttemptEnd, AttemptKey, AttemptStart, Claim, Micros, Outcome, Usage
from cronq.plan import after_attempt
from cronq.store.base import Held, Store
from cronq.virtual.clock import VirtualClock
from cronq.worker.base import Report

STOPPING_S = 0.01
"""How long a played command takes to die of TERM."""
PID = 4711


class Played(NamedTuple):
    """What a played process does.

    Attributes:
        seconds: How long it takes.
        outcome: How it ends when left alone.
        exit_code: None: 0 for a success, 1 for a failure, and none if it was killed.
    """

    seconds: float = 1.0
    outcome: Outcome = Outcome.SUCCESS
    exit_code: int | None = None


Play = Callable[[Claim], Played]
"""Says what the process of a claim does."""


class _Ending(NamedTuple):
    """How a process will end: when, on the clock that never steps, and as what."""

    at: Micros
    played: Played
    reason: str


class Running(NamedTuple):
    """An attempt that runs.

    Attributes:
        ending: Its `at` counts from now.
    """

    claim: Claim
    started_at: Micros
    ending: _Ending


class PlayedWorkers:
    """`cronq.worker.base.Workers` without processes. They outlive the scheduler, as the real ones do.

    Attributes:
        alive: The attempts whose process runs.
        started_at: When they were started.
        has_scheduler: Whether somebody acknowledges their results; else they write them themselves.
        outside: Names of those outside that live.
        outside_stopped: Of these, those that were stopped.
    """

    def __init__(self, clock: VirtualClock, store: Callable[[], Store], slots: int, play: Play) -> None:
        """Be there.

        Args:
            clock: Tells the time, and when a process ends.
            store: Opens the ledger, for results that no scheduler takes; they close it again.
            slots: How many attempts at a time.
            play: What each process does.
        """
        self.clock = clock
        self.alive: dict[AttemptKey, Claim] = {}
        self.started_at: dict[AttemptKey, Micros] = {}
        self.outside: set[str] = set()
        self.outside_stopped: set[str] = set()
        self.has_scheduler = True
        self._open = store
        self._play = play
        self._free = [f"w{number}" for number in range(slots, 0, -1)]
        self._reports: list[Report] = []
        self._unacknowledged: dict[AttemptKey, tuple[AttemptEnd, str]] = {}
        self._stopped: dict[AttemptKey, str] = {}
        self._ends: dict[AttemptKey, _Ending] = {}

    @property
    def busy(self) -> int:
        """Attempts in the hands of workers."""
        return len(self.alive) + len(self._unacknowledged)

    @property
    def capacity(self) -> int:
        """No workers would have to be started."""
        return 0

    def idle(self, ended: Collection[AttemptKey] = ()) -> list[str]:
        """Return the workers that could take a claim once these ends are acknowledged."""
        ending = [self._unacknowledged[key][1] for key in ended if key in self._unacknowledged]
        return [*reversed(self._free), *ending] if self._free or ending else []

    def ahead(self) -> list[str]:
        """Return none: what is played is over when it is, and nobody waits for a disk."""
        return []

    def recall(self) -> None:
        """Do nothing: no claim is held ready."""

    def want(self, count: int) -> None:
        """Refuse: all workers are always there."""
        raise InvariantError(f"{count} more workers were asked for, and all there can be are there")

    def in_hand(self) -> list[AttemptKey]:
        """Return the attempts in hand."""
        return list(self.alive)

    def deadline(self) -> float | None:
        """Ask for no call: what happens wakes the clock up."""
        return None

    def assign(self, claim: Claim) -> None:
        """Start the process of a claim."""
        key = claim.key
        self._free.remove(claim.worker)
        now = self.clock.now()
        self.started_at[key] = now
        self.alive[key] = claim
        self._reports.append(AttemptStart(key, PID, now))
        played, reason = self._play(claim), ""
        bound_s = claim.definition.timeout_s
        if bound_s is not None and played.seconds > bound_s:
            played, reason = Played(bound_s, Outcome.TIMEOUT), f"timeout {bound_s:g}s"
        self._run(key, _Ending(self.clock.elapsed + round(played.seconds * SECOND), played, reason))

    def running(self) -> list[Running]:
        """Return what runs, in the order of its starts."""
        now = self.clock.elapsed
        return [
            Running(claim, self.started_at[key], self._ends[key]._replace(at=self._ends[key].at - now))
            for key, claim in self.alive.items()
        ]

    def go_on(self, running: Running) -> None:
        """Have an attempt running that was started in another world."""
        claim = running.claim
        self._free.remove(claim.worker)
        self.started_at[claim.key] = running.started_at
        self.alive[claim.key] = claim
        self._run(claim.key, running.ending._replace(at=self.clock.elapsed + running.ending.at))

    def _run(self, key: AttemptKey, ending: _Ending) -> None:
        self._ends[key] = ending
        left_s = (ending.at - self.clock.elapsed) / SECOND
        self.clock.after(left_s, lambda: self._end(key, ending.played, ending.reason))

    def adopt(self, held: Held) -> bool:
        """Go on with an attempt of an earlier scheduler, if its process runs."""
        return held.claim.key in self.alive

    def tidy(self, held: Container[AttemptKey]) -> None:
        """Remove nothing: nothing was left behind."""

    def has_outside(self, holder: str) -> bool:
        """Return whether a process outside is alive."""
        return holder in self.outside

    def is_outside_stopped(self, holder: str) -> bool:
        """Return whether a process outside was stopped."""
        return holder in self.outside_stopped

    def stop(self, key: AttemptKey, reason: str) -> None:
        """Let a process die soon; repeated calls change nothing."""
        if key in self.alive and key not in self._stopped:
            self._stopped[key] = reason
            died = Played(STOPPING_S, Outcome.CANCELLED)
            self.clock.after(STOPPING_S, lambda: self._end(key, died, reason))

    def kill(self, key: AttemptKey) -> None:
        """Let a process die at once."""
        self._end(key, Played(0.0, Outcome.CANCELLED), "killed")

    def poll(self) -> Sequence[Report]:
        """Return what happened since the last call."""
        if not self._reports:
            return ()
        reports, self._reports = self._reports, []
        return reports

    def acknowledge(self, keys: Iterable[AttemptKey]) -> None:
        """Say that the ends of these attempts are in the ledger."""
        for key in keys:
            ended = self._unacknowledged.pop(key, None)
            if ended is not None:
                self._free.append(ended[1])

    def orphan(self) -> None:
        """Live on without a scheduler: what it never acknowledged is written now, and the rest as it ends."""
        self.has_scheduler = False
        self._reports.clear()
        ends = list(self._unacknowledged.values())
        self._unacknowledged.clear()
        self._free += [worker for _, worker in ends]
        self._write([end for end, _ in ends])

    def die(self) -> None:
        """Lose all processes, and what they had to report: the machine stops."""
        self._free += [claim.worker for claim in self.alive.values()]
        self._free += [worker for _, worker in self._unacknowledged.values()]
        self.alive.clear()
        self.started_at.clear()
        self._stopped.clear()
        self._ends.clear()
        self._unacknowledged.clear()
        self._reports.clear()

    def _end(self, key: AttemptKey, played: Played, reason: str) -> None:
        claim = self.alive.pop(key, None)
        if claim is None:
            return
        self._stopped.pop(key, None)
        del self._ends[key]
        now = self.clock.now()
        outcome = played.outcome
        retry = after_attempt(claim.definition, claim.run, outcome, now)
        exit_code = played.exit_code
        if exit_code is None and outcome in {Outcome.SUCCESS, Outcome.FAILURE}:
            exit_code = int(outcome is Outcome.FAILURE)
        if not reason and outcome is Outcome.FAILURE:
            reason = f"exit {exit_code}"
        started_at = self.started_at.pop(key)
        end = AttemptEnd(
            key,
            outcome,
            now,
            reason=reason,
            started_at=started_at,
            exit_code=exit_code,
            signal=signal.SIGTERM if exit_code is None else None,
            usage=Usage(played.seconds),
            retry_at=retry.at,
            counts=retry.counts,
        )
        if self.has_scheduler:
            self._unacknowledged[key] = (end, claim.worker)
            self._reports.append(end)
        else:
            self._free.append(claim.worker)
            self._write([end])

    def _write(self, ends: Sequence[AttemptEnd]) -> None:
        if ends:
            store = self._open()
            store.record([], ends)
            store.close()
