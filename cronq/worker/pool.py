"""The pool of workers: starts them on demand, hands them claims, and tells what became of each attempt.

Single-threaded and never blocking: the scheduler waits on one descriptor, `Clock.watch`ed by the pool, and
calls `poll` when it is readable or `deadline` has passed. Every claim that was assigned comes back as exactly
one `Ended`, whatever dies in between.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import signal
from collections.abc import Collection, Container, Iterable
from itertools import count
from pathlib import Path
from typing import Final

from cronq.clock import Clock
from cronq.errors import InvariantError
from cronq.model import AttemptEnd, AttemptKey, AttemptStart, Claim, CommandKind, Outcome
from cronq.store.base import Held
from cronq.store.location import Place
from cronq.worker import endings, kernel, limits, liveness, spool
from cronq.worker.adoption import Adoption, end_never_started
from cronq.worker.base import Lost, Recalled, Report, Trouble
from cronq.worker.cgroups import WorkerGroups, delegated_group
from cronq.worker.earlier import EarlierAttempt
from cronq.worker.endings import Begun, describe
from cronq.worker.files import make_folder
from cronq.worker.inherited import InheritedCommand
from cronq.worker.launching import launch, start_fork_server
from cronq.worker.left_ends import end_file, leave_end, read_left_end, remove_left_end
from cronq.worker.messages import Leaving, Ready, WorkerSetup
from cronq.worker.oom import KillCounter
from cronq.worker.output import output_of, settled
from cronq.worker.reaper import Reaper
from cronq.worker.slot import QUICK_S, Phase, Slot, end_of_lost_callable
from cronq.worker.tickets import TicketBox
from cronq.worker.trust import HANGS_S, LOOK_S, Trust

MAX_STARTING: Final = 2
"""Workers that start at the same time: each costs some 10 ms of processor, which running jobs need too."""
_START_BOUND_S = 30.0
_START_AGAIN_S = 0.1
_START_AGAIN_MAX_S = 5.0
_STARTS_IN_VAIN = 2
"""One more in a row, and people are told; a start that failed once is tried again a moment later."""
_CLOSE_BOUND_S = 2.0
MOST_ATTEMPTS: Final = 5_000
"""Attempts of one worker. Each callable gets an environment of its own, some 500 bytes of it new, and the C
library never frees a value that setenv(3) was given; besides, callables leak by themselves."""
_ROUNDS = 64
"""How often `poll` looks for more before it returns: a flood must not starve the rest of the scheduler."""


class Pool:
    """Up to `size` worker processes."""

    def __init__(
        self,
        clock: Clock,
        place: Place,
        *,
        size: int,
        boot_id: str,
        idle_s: float = 10.0,
        most_attempts: int = MOST_ATTEMPTS,
        trust: Path | None = None,
    ) -> None:
        """Describe a pool; `start` begins it.

        Args:
            clock: The scheduler's.
            place: Where locks and logs are.
            size: Attempts that may run at a time.
            boot_id: See `kernel.boot_id`.
            idle_s: A worker that was idle for so long leaves, but for one that stays warm.
            most_attempts: A worker that has executed so many leaves.
            trust: A `TrustFile`. When it has ended, attempts are killed, by their workers if this process
                is not there to do it. None: they may run for ever.
        """
        self._clock = clock
        self._place = place
        self._size = size
        self._boot_id = boot_id
        self._idle_s = idle_s
        self._most_attempts = most_attempts
        self._trust_file = trust
        self._trust = None if trust is None else Trust(trust)
        self._trust_at = 0.0
        self._is_trusted = False
        self._slots: dict[str, Slot] = {}
        self._adoptions: dict[AttemptKey, Adoption] = {}
        self._unrecorded: dict[AttemptKey, tuple[AttemptEnd, str]] = {}
        self._reports: list[Report] = []
        self._family = f"w-{os.getpid()}-{secrets.token_hex(3)}"
        self._numbers = count(1)
        self._wanted = 0
        self._start_at = 0.0
        self._look_again_at: float | None = None
        self._enough = 2 * kernel.processors()
        self._failed_starts = 0
        self._selector = selectors.DefaultSelector()
        self._reaper: Reaper | None = None
        self._open_files = 0
        self._oom = KillCounter()
        self._groups = WorkerGroups(place, delegated_group())

    def start(self) -> None:
        """Become the sub-reaper, and start the fork server and the first worker. In the main thread.

        Raises:
            OSError: There is no room for processes at all.
        """
        kernel.become_subreaper()
        kernel.keep_spare()
        make_folder(self._place.attempts)
        liveness.sweep_workers(self._place)
        self._reaper = Reaper()
        self._selector.register(self._reaper, selectors.EVENT_READ)
        self._clock.watch(self._selector.fileno())
        start_fork_server()
        self._open_files = limits.make_room(self._size)
        self._launch(self._clock.monotonic())

    # What the scheduler asks

    def idle(self, ended: Collection[AttemptKey] = ()) -> list[str]:
        """Return the workers that can take a claim, the last used first, so that the others may leave.

        Args:
            ended: Attempts that will be acknowledged before: their workers can take one, too.
        """
        found = [
            slot
            for slot in self._slots.values()
            if slot.phase is Phase.IDLE or (_is_ending(slot, ended) and not slot.is_leaving)
        ]
        ending = sum(_is_ending(slot, ended) for slot in self._slots.values())
        # Adopted attempts count, and have no worker of ours.
        room = max(0, self._size - self.busy + ending)
        return [slot.name for slot in sorted(found, key=lambda slot: -slot.since)][:room]

    def ahead(self) -> list[str]:
        """Return the busy workers that may hold a claim ready: those that will be free in a moment.

        So a worker need not wait until its end is in the store, and the disk until a worker has ended.
        """
        now = self._clock.monotonic()
        return [slot.name for slot in self._slots.values() if slot.can_hold(now)]

    def recall(self) -> None:
        """Take back the claims that busy workers hold ready."""
        for slot in self._slots.values():
            self._recall(slot)

    @property
    def busy(self) -> int:
        """Attempts in hand: with a worker, or adopted."""
        working = sum(slot.phase in {Phase.BUSY, Phase.ENDED} for slot in self._slots.values())
        return working + len(self._adoptions)

    @property
    def capacity(self) -> int:
        """Further attempts that could run now, if workers for them were started."""
        return max(0, self._size - self.busy)

    def in_hand(self) -> list[AttemptKey]:
        """Return the attempts that are not over, or whose end was not reported yet."""
        claims = [claim for slot in self._slots.values() for claim in (slot.claim, slot.next) if claim]
        ended = (report.key for report in self._reports if isinstance(report, AttemptEnd))
        return [*(claim.key for claim in claims), *self._adoptions, *ended]

    def has_named(self, worker: str) -> bool:
        """Return whether a worker is, or was, of this pool."""
        return worker.startswith(f"{self._family}-")

    def pids(self) -> list[int]:
        """Return the pids of the workers."""
        return [slot.pid for slot in self._slots.values()]

    def deadline(self) -> float | None:
        """Return when `poll` must be called although nothing is readable, monotonic.

        Whoever asks is about to wait, so the workers that got no further claim hear of their ends now.
        """
        for slot in self._slots.values():
            slot.tell_acknowledged()
        now = self._clock.monotonic()
        if self._reports:
            return now
        times = [slot.deadline() for slot in self._slots.values()]
        times += [adoption.deadline() for adoption in self._adoptions.values()]
        phases = [slot.phase for slot in self._slots.values()]
        if Phase.STARTING in phases:
            times.append(now + _START_BOUND_S)
        self._look_again_at = None
        if self._lacking() > 0 and phases.count(Phase.STARTING) < MAX_STARTING:
            times.append(self._start_at)
        times.append(self._look_again_at)
        if self._trust is not None and Phase.BUSY in phases:
            times.append(self._trust_at)
        idle = [slot.since for slot in self._slots.values() if slot.phase is Phase.IDLE]
        if len(idle) > 1:
            times.append(min(idle) + self._idle_s)
        return min((moment for moment in times if moment is not None), default=None)

    # What the scheduler orders

    def want(self, runs: int) -> None:
        """Say that so many runs could be claimed now, if there were workers."""
        self._wanted = runs
        self._staff(self._clock.monotonic())

    def assign(self, claim: Claim) -> None:
        """Hand a claim to the worker that it names; one of `idle`.

        Dies: The claim is in the store, and no lock file says that it was started.
        """
        slot = self._slots.get(claim.worker)
        if slot is not None and slot.phase is Phase.BUSY and slot.next is None:
            if not slot.hold(claim):
                self._reports.append(Recalled(claim.key))
            self._wanted = max(0, self._wanted - 1)
            return
        if slot is None or slot.phase is not Phase.IDLE:
            raise InvariantError(f"{claim.worker} is not idle")
        now = self._clock.monotonic()
        if not self._adoptions:
            self._oom.mark(now)  # what was killed before is no proof for what dies without a worker later
        slot.assign(claim, now)
        self._look_after_callable(slot, claim, now)
        self._wanted = max(0, self._wanted - 1)

    def stop(self, key: AttemptKey, reason: str) -> None:
        """Ask that an attempt be stopped by the ladder; its `Ended` comes as always."""
        self._stop(key, reason, at_once=False)

    def kill(self, key: AttemptKey) -> None:
        """Ask that an attempt be killed at once, with its tree."""
        self._stop(key, "killed", at_once=True)

    def acknowledge(self, keys: Iterable[AttemptKey]) -> None:
        """Say that these ends are in the store; their workers are idle again."""
        now = self._clock.monotonic()
        by_key = {key: slot for slot in self._slots.values() for key in slot.ends}
        for key in keys:
            if (slot := by_key.get(key)) is not None:
                slot.acknowledge(key, now)
            else:
                # No worker of ours has it: it was adopted, or is of an earlier scheduler.
                remove_left_end(self._place, key)
                if key in self._unrecorded:
                    _, worker = self._unrecorded.pop(key)
                    self._put_away(worker)

    def adopt(self, held: Held) -> bool:
        """Watch a run that an earlier scheduler began, until its worker and its command are gone.

        Returns:
            Whether an end will come: it lives, or more is known of its end than that it is over.
        """
        attempt = EarlierAttempt(held, self._place, self._clock, self._groups, self._trust)
        if not attempt.is_worth_watching():
            attempt.close()
            return False
        self._adopt(attempt)
        return True

    def tidy(self, held: Container[AttemptKey]) -> None:
        """Put away what dead workers left; what concerns attempts of `held` is evidence."""
        # Without a descriptor nothing can be listed; the next sweep comes.
        with contextlib.suppress(OSError):
            liveness.sweep_left_ends(self._place, held)
            spool.sweep(self._place, held)
            self._groups.sweep(self._is_needed)

    def has_outside(self, holder: str) -> bool:
        """Return whether a process outside that took, or waits for, named locks is alive."""
        return liveness.is_outside_alive(self._place, holder)

    def is_outside_stopped(self, holder: str) -> bool:
        """Return whether one that waits cannot take its turn, because it was stopped."""
        return liveness.is_outside_stopped(holder)

    def poll(self) -> list[Report]:
        """Return what has happened since the last call, in order; never blocks."""
        for slot in self._slots.values():
            slot.tell_acknowledged()
        self._collect()
        if self._reaper is not None and self._reaper.is_due():
            orphans = self._reaper.orphans()
            # The worker of such a one may have died since we looked; then it is adopted, not buried.
            self._collect()
            self._step_adoptions(everyone=True)
            known = {adoption.pid for adoption in self._adoptions.values()}
            # That a worker died is heard through the fork server, which may be slow to say so: its command
            # is then an orphan already, and whoever buries it loses its exit status.
            if orphans:
                self._ask_starts(self._clock.monotonic(), at_once=True)
            known |= {
                slot.start.pid for slot in self._slots.values() if slot.start and slot.phase is Phase.BUSY
            }
            self._reaper.bury(pid for pid in orphans if pid not in known)
        self._step_adoptions(everyone=False)
        now = self._clock.monotonic()
        self._ask_starts(now)
        for slot in self._slots.values():
            stuck = slot.phase is Phase.STARTING and now - slot.since > _START_BOUND_S
            is_over = stuck or (slot.guard is not None and slot.guard.is_over(now))
            if is_over and (slot.next is None or self._recall(slot)):
                slot.signal(signal.SIGKILL)
            slot.nudge(now)
            slot.look_after_output(now)
            if slot.next is not None and (slot.is_leaving or now >= slot.since + QUICK_S):
                self._recall(slot)
        if self._trust is not None:
            self._kill_hung(self._trust, now)
        self._dismiss(now)
        self._staff(now)
        reports, self._reports = self._reports, []
        return reports

    def close(self) -> None:
        """Let idle workers leave, for a bounded time; busy ones finish, and record, by themselves."""
        now = self._clock.monotonic()
        for slot in self._slots.values():
            slot.recall()
            if slot.phase in {Phase.STARTING, Phase.IDLE}:
                slot.leave(now)
        self._size = 0
        while any(slot.phase is Phase.LEAVING for slot in self._slots.values()):
            left_s = now + _CLOSE_BOUND_S - self._clock.monotonic()
            if left_s <= 0 or not self._selector.select(left_s):
                break
            self._collect()
        for slot in self._slots.values():
            slot.tell_acknowledged()
            slot.release()
        for adoption in self._adoptions.values():
            adoption.close()
        for end, _ in self._unrecorded.values():
            # Nobody else knows how these ended.
            with contextlib.suppress(OSError):
                leave_end(self._place, end)
        self._slots.clear()
        self._adoptions.clear()
        self._clock.unwatch(self._selector.fileno())
        self._selector.close()
        self._oom.close()
        if self._reaper is not None:
            self._reaper.close()
            limits.restore(self._open_files)

    # Messages and deaths

    def _ask_starts(self, now: float, *, at_once: bool = False) -> None:
        for slot in self._slots.values():
            if (start := slot.ask_start(self._place, now, at_once=at_once)) is not None:
                self._reports.append(start)

    def _collect(self) -> None:
        for _ in range(_ROUNDS):
            is_quiet = True
            for ready, _mask in self._selector.select(0):
                source = ready.data
                if isinstance(source, Slot):
                    is_quiet = False
                    if ready.fd == source.death_fd:
                        self._bury(source)
                    else:
                        self._receive(source)
                elif source is not None:
                    is_quiet = False
                    self._selector.unregister(ready.fd)
                    source.drop(ready.fd)
            if is_quiet:
                return

    def _receive(self, slot: Slot) -> None:
        pipe_fd = slot.pipe_fd
        if pipe_fd is None:
            return  # buried in the same round
        message = slot.receive()
        if message is None:
            self._selector.unregister(pipe_fd)
            return
        now = self._clock.monotonic()
        if isinstance(message, Ready):
            if self._failed_starts > _STARTS_IN_VAIN:
                self._reports.append(Trouble("info", "workers can be started again"))
            self._failed_starts = 0
            if slot.phase is Phase.STARTING:
                slot.become_idle(now)
            return
        if isinstance(message, Leaving):
            slot.is_leaving = True
            return
        if slot.start is None and message.started_at is not None and message.pid is not None:
            self._reports.append(AttemptStart(message.key, message.pid, message.started_at))
        slot.note_end(message, now)
        if slot.phase is Phase.BUSY and slot.claim is not None:
            self._look_after_callable(slot, slot.claim, now)
        self._reports.append(message)

    def _bury(self, slot: Slot) -> None:
        while slot.has_message():
            self._receive(slot)
        for fd in (slot.pipe_fd, slot.death_fd):
            if fd is not None:
                self._selector.unregister(fd)
        exit_code = slot.exit_code()
        del self._slots[slot.name]
        liveness.remove_worker(self._place, slot.name)
        if exit_code != 0 or slot.phase not in {Phase.LEAVING, Phase.IDLE}:
            self._reports.append(Lost(slot.name, slot.key, exit_code))
        if slot.phase is Phase.STARTING:
            self._put_off_starts("it died at once")
        for end in slot.ends.values():
            self._unrecorded[end.key] = (end, slot.name)
        if slot.phase is Phase.BUSY:
            self._take_over(slot, exit_code)
        if slot.next is not None and not self._recall(slot):
            # It was about to begin, or has: nobody knows.
            self._conclude(endings.end_unseen(slot.next, "worker killed", now=self._clock.now()), slot.name)
        self._put_away(slot.name)
        slot.bury()
        self._groups.remove(slot.name)

    def _recall(self, slot: Slot) -> bool:
        claim = slot.recall()
        if claim is not None:
            self._reports.append(Recalled(claim.key))
        return claim is not None

    def _put_away(self, worker: str) -> None:
        """Remove the files of a dead worker, once nothing that they tell is needed any more."""
        is_evidence = worker in self._slots or any(name == worker for _, name in self._unrecorded.values())
        if not is_evidence and not any(one.worker == worker for one in self._adoptions.values()):
            spool.put_away(self._place, worker)

    def _look_after_callable(self, slot: Slot, claim: Claim, now: float) -> None:
        if claim.definition.command.kind is CommandKind.PYTHON:
            slot.output = output_of(claim, self._place, now)

    def _is_needed(self, worker: str) -> bool:
        """Return whether a worker lives, or what it left is looked after."""
        adopted = any(adoption.worker == worker for adoption in self._adoptions.values())
        return adopted or worker in self._slots or liveness.is_worker_alive(self._place, worker)

    def _take_over(self, slot: Slot, exit_code: int | None) -> None:
        claim = slot.claim
        if claim is None:
            return
        now = self._clock.monotonic()
        if (start := slot.ask_start(self._place, now, at_once=True)) is not None:
            self._reports.append(start)
        if (left := _left_end(self._place, claim.key)) is not None:
            # It was killed while it gave the log its final form.
            output_of(claim, self._place, now).finish_after(left)
            self._conclude(left, slot.name)
        elif slot.start is None and not liveness.was_started(self._place, claim.key, claim.worker):
            self._conclude(end_never_started(claim, self._clock.now()), slot.name)
        elif claim.definition.command.kind is CommandKind.PYTHON:
            end = end_of_lost_callable(slot, claim, self._place, exit_code, self._clock.now(), self._oom)
            self._conclude(settled(end, slot.output or output_of(claim, self._place, now)), slot.name)
        else:
            begun = None
            if slot.start is not None:
                begun = Begun(slot.start.started_at, slot.started, slot.start.pid)
            adoption = InheritedCommand(claim, begun, self._place, self._clock, self._oom, self._trust)
            if slot.stop_request is not None:
                adoption.stop(slot.stop_request.reason, at_once=slot.stop_request.at_once)
            self._adopt(adoption)

    def _conclude(self, end: AttemptEnd, worker: str) -> None:
        self._unrecorded[end.key] = (end, worker)
        self._reports.append(end)

    # Attempts without a worker

    def _adopt(self, adoption: Adoption) -> None:
        self._adoptions[adoption.key] = adoption
        self._step(adoption)

    def _step_adoptions(self, *, everyone: bool) -> None:
        if not self._adoptions:
            return
        now = self._clock.monotonic()
        for adoption in list(self._adoptions.values()):
            deadline = adoption.deadline()
            if everyone or (deadline is not None and deadline <= now):
                self._step(adoption)

    def _step(self, adoption: Adoption) -> None:
        end = adoption.step()
        watched = self._selector.get_map()
        for fd in adoption.fds():
            if end is None and fd not in watched:
                self._selector.register(fd, selectors.EVENT_READ, adoption)
            elif end is not None and fd in watched:
                self._selector.unregister(fd)
        if end is not None:
            adoption.close()
            del self._adoptions[adoption.key]
            self._groups.remove(adoption.worker)
            self._conclude(end, adoption.worker)

    def _stop(self, key: AttemptKey, reason: str, *, at_once: bool) -> None:
        if (adoption := self._adoptions.get(key)) is not None:
            adoption.stop(reason, at_once=at_once)
            self._step(adoption)
            return
        now = self._clock.monotonic()
        for slot in self._slots.values():
            if slot.key == key:
                # What it has begun with since must not be hit: then this one has ended, and says so soon.
                if slot.next is None or self._recall(slot):
                    slot.stop(reason, now, at_once=at_once)
            elif slot.next is not None and slot.next.key == key:
                self._stop_next(slot, reason, at_once=at_once)

    def _stop_next(self, slot: Slot, reason: str, *, at_once: bool) -> None:
        claim = slot.recall()
        if claim is None:
            slot.stop_next(reason, at_once=at_once)
            return
        self._reports.append(AttemptEnd(claim.key, Outcome.CANCELLED, self._clock.now(), reason=reason))

    # How many workers

    def _lacking(self) -> int:
        """Return how many more workers should be started."""
        phases = [slot.phase for slot in self._slots.values()]
        at_hand = phases.count(Phase.IDLE) + phases.count(Phase.STARTING)
        # One spare: when all are busy, the next fire time must not wait for a start.
        aim = max(1, self._wanted)
        present = len(phases) - phases.count(Phase.LEAVING)
        lacking = min(aim - at_hand, self._size - present - len(self._adoptions))
        if lacking > 0 and present >= self._enough:
            # A start costs as much as ten quick attempts, which would have to wait for it.
            now = self._clock.monotonic()
            if sum(slot.is_brisk(now) for slot in self._slots.values()) >= self._enough:
                self._look_again_at = now + QUICK_S
                return 0
        return lacking

    def _staff(self, now: float) -> None:
        starting = sum(slot.phase is Phase.STARTING for slot in self._slots.values())
        for _ in range(min(self._lacking(), MAX_STARTING - starting)):
            if now < self._start_at:
                return
            self._launch(now)

    def _launch(self, now: float) -> None:
        name = f"{self._family}-{next(self._numbers)}"
        try:
            setup = WorkerSetup(
                name, self._place, self._boot_id, self._open_files, self._most_attempts, self._trust_file
            )
            tickets = TicketBox()
            try:
                process, pipe = launch(setup, tickets)
            except OSError:
                tickets.close()
                raise
        except OSError as error:
            self._put_off_starts(describe(error))
            return
        slot = self._slots[name] = Slot(name, process, pipe, tickets, now)
        self._selector.register(pipe, selectors.EVENT_READ, slot)
        self._selector.register(slot.death_fd, selectors.EVENT_READ, slot)

    def _kill_hung(self, trust: Trust, now: float) -> None:
        """Kill workers that should have killed their attempts; what those had begun is adopted."""
        if now < self._trust_at:
            return
        left_s = trust.left_s()
        if left_s > 0:
            self._is_trusted = True
            self._trust_at = now + min(left_s, LOOK_S)
        elif self._is_trusted:
            self._is_trusted = False
            self._trust_at = now + HANGS_S
        else:
            self._trust_at = now + LOOK_S
            for slot in self._slots.values():
                # One that has begun nothing gives its claim back.
                if slot.phase is Phase.BUSY and slot.start is not None:
                    slot.signal(signal.SIGKILL)

    def _put_off_starts(self, reason: str) -> None:
        if self._failed_starts == _STARTS_IN_VAIN:
            message = f"no worker can be started ({reason}): what is queued waits"
            self._reports.append(Trouble("error", message))
        delay_s = min(_START_AGAIN_S * 2**self._failed_starts, _START_AGAIN_MAX_S)
        self._failed_starts = min(self._failed_starts + 1, 16)
        self._start_at = self._clock.monotonic() + delay_s

    def _dismiss(self, now: float) -> None:
        idle = [slot for slot in self._slots.values() if slot.phase is Phase.IDLE]
        for slot in sorted(idle, key=lambda slot: slot.since)[:-1]:
            if slot.since + self._idle_s <= now:
                slot.leave(now)


def _is_ending(slot: Slot, ended: Collection[AttemptKey]) -> bool:
    """Return whether a worker has nothing in hand once these ends are acknowledged."""
    return slot.phase is Phase.ENDED and all(key in ended for key in slot.ends)


def _left_end(place: Place, key: AttemptKey) -> AttemptEnd | None:
    try:
        return read_left_end(end_file(place, key))
    except OSError:
        return None
