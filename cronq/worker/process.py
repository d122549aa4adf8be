"""A worker process: one attempt at a time, until it is told to leave or the scheduler is gone.

An end is kept until the scheduler says that it is in the store. If the scheduler dies first, the worker
writes it itself; the attempt number fences the write, so it does not matter when both do.
"""

from __future__ import annotations

import contextlib
import os
from multiprocessing.connection import Connection

from cronq import clock, doorbell
from cronq.errors import StoreError
from cronq.model import AttemptEnd, AttemptKey, Claim, CommandKind, Outcome
from cronq.worker import endings, kernel, limits, liveness, oom
from cronq.worker.attempt import CommandAttempt
from cronq.worker.base import shifted
from cronq.worker.callables import CallableAttempt
from cronq.worker.cgroups import WorkerGroups, delegated_group
from cronq.worker.environment import inherited_part
from cronq.worker.inbox import Inbox
from cronq.worker.left_ends import leave_end, remove_left_end
from cronq.worker.messages import (
    Acknowledged,
    Execute,
    FromWorker,
    Leave,
    Leaving,
    Ready,
    ToWorker,
    WorkerSetup,
)
from cronq.worker.output import Output
from cronq.worker.spawning import CAN_SPAWN, seal_descriptors
from cronq.worker.spool import Spool, put_away
from cronq.worker.tickets import TicketReader
from cronq.worker.trust import GRACE_S, LOST, Trust
from cronq.worker.warden import Warden

STORE_BOUND_S = 60.0
"""How long an orphaned worker tries to reach the store before it leaves a note instead."""
_STORE_DELAY_S = 0.1
_STORE_MAX_DELAY_S = 2.0


def worker_main(
    setup: WorkerSetup, pipe: Connection[FromWorker, ToWorker], tickets: Connection[int, int]
) -> None:
    """Be a worker; the target of the process."""
    # Own session: the terminal's Ctrl-C and hang-up are for the scheduler. EPERM: it is a leader already.
    with contextlib.suppress(PermissionError):
        os.setsid()
    kernel.become_subreaper()
    kernel.keep_spare()
    seal_descriptors()
    oom.step_forward()
    limits.restore(setup.open_files)
    lock_fd = liveness.take_lock(liveness.worker_file(setup.place, setup.name))
    # After the lock: a group whose worker holds none is taken for that of a dead one.
    WorkerGroups(setup.place, delegated_group()).join(setup.name)
    pid = os.getpid()
    liveness.write_hint(
        lock_fd, liveness.Hint(pid, pid, kernel.start_ticks(pid), setup.boot_id, clock.monotonic())
    )
    inbox = Inbox(pipe)
    # What a callable forks must not hold the pipe or the lock, or we would seem to live after our death.
    os.register_at_fork(after_in_child=inbox.close_in_child)
    # Once: a child of such a child has the number no more, or for something else.
    held = [lock_fd]
    os.register_at_fork(after_in_child=lambda: os.close(held.pop()) if held else None)
    Worker(setup, inbox, TicketReader(tickets)).work()


class Worker:
    """The loop of a worker process."""

    def __init__(self, setup: WorkerSetup, inbox: Inbox, tickets: TicketReader) -> None:
        self._setup = setup
        self._tickets = tickets
        self._inbox = inbox
        # A copy, because callables get an environment of their own.
        self._environ = dict(os.environ)
        self._inherited = {**inherited_part(self._environ), "CRONQ_STORE": str(setup.place.database)}
        self._oom = oom.KillCounter()
        self._null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._is_sealed = CAN_SPAWN
        self._lock = liveness.AttemptLock(setup.place, setup.name, setup.boot_id)
        self._spool = Spool(setup.place, setup.name)
        self._trust = None if setup.trust is None else Trust(setup.trust)
        self._callables = CallableAttempt(
            setup.place,
            lock=self._lock,
            spool=self._spool,
            inherited=self._inherited,
            inbox=inbox,
            warden=None if self._trust is None else Warden(self._trust, setup.place),
        )
        self._ends: dict[AttemptKey, AttemptEnd] = {}
        self._attempts = 0
        self._is_leaving = False
        self._left_ends: set[AttemptKey] = set()

    def work(self) -> None:
        """Take messages until it is time to leave, and leave nothing unwritten."""
        self._inbox.send(Ready(self._setup.name))
        while True:
            message = self._inbox.next()
            if isinstance(message, Execute):
                for key in message.acknowledged:
                    self._forget(key)
                if message.ticket is None or self._may_begin(message.ticket):
                    self._execute(message.claim)
            elif isinstance(message, Acknowledged):
                self._forget(message.key)
            elif message is None or isinstance(message, Leave):
                break
            if self._is_leaving and not self._ends:
                break
        for end in list(self._ends.values()):
            self._write_alone(end)
        if not self._ends:
            put_away(self._setup.place, self._setup.name)
        liveness.remove_worker(self._setup.place, self._setup.name)

    def _may_begin(self, ticket: int) -> bool:
        return not self._is_leaving and self._tickets.take(ticket)

    def _execute(self, claim: Claim) -> None:
        if self._trust is not None and self._trust.left_s() <= GRACE_S:
            self._refuse(claim)
            return
        self._lock.before = tuple(self._ends)
        if claim.definition.command.kind is CommandKind.PYTHON:
            self._is_sealed = False
            end = self._callables.execute(claim, self._setup.boot_id)
            limit = claim.definition.max_output
            output = Output(self._callables.log, limit, clock.monotonic(), self._callables.masker)
        else:
            # A late signal for a callable that is over. For a command the pool sends messages alone.
            self._inbox.asked = None
            attempt = CommandAttempt(
                claim,
                self._setup.place,
                lock=self._lock,
                spool=self._spool,
                null=self._null,
                is_sealed=self._is_sealed,
                inherited=self._inherited,
                inbox=self._inbox,
                oom=self._oom,
                trust=self._trust,
            )
            end = attempt.execute(self._setup.boot_id)
            output = attempt.output
        end = self._ends[claim.key] = self._conclude(end, output)
        self._attempts += 1
        is_worn = self._attempts >= self._setup.most_attempts
        # Threads and processes that are left would be taken for those of the next attempt.
        if self._callables.is_soiled or end.survivors or is_worn or not output.is_settled:
            self._is_leaving = True
            self._inbox.send(Leaving())
        self._inbox.send(end)

    def _refuse(self, claim: Claim) -> None:
        """Give back a claim that is as good as lost; nothing was started."""
        delay_s = endings.free_delay_s(claim.run.attempt)
        end = endings.end_for_free(claim, Outcome.ABANDONED, LOST, now=clock.now_us(), delay_s=delay_s)
        self._ends[claim.key] = end
        self._inbox.send(end)

    def _conclude(self, end: AttemptEnd, output: Output) -> AttemptEnd:
        """Return the end with what is known of its output, which gets its final form."""
        end = output.concluded(end)
        if end.survivors:
            return end  # they may still write
        if output.is_long_to_finish:
            # If this worker is killed meanwhile, the true end is known all the same.
            with contextlib.suppress(OSError):
                leave_end(self._setup.place, end)
                self._left_ends.add(end.key)
        output.finish()
        return end

    def _forget(self, key: AttemptKey) -> None:
        self._remove_left_end(key)
        self._ends.pop(key, None)

    def _write_alone(self, end: AttemptEnd) -> None:
        """Write an end without the scheduler.

        Dies: The locks are free and nothing is recorded, so the next scheduler ends it as abandoned.
        """
        place = self._setup.place
        deadline = clock.monotonic() + STORE_BOUND_S
        delay_s = _STORE_DELAY_S
        while True:
            try:
                self._record(end)
                self._forget(end.key)
                break
            except StoreError:
                if clock.monotonic() + delay_s >= deadline:
                    with contextlib.suppress(OSError):
                        leave_end(place, end)
                    break
            clock.sleep(delay_s)
            delay_s = min(delay_s * 2, _STORE_MAX_DELAY_S)
        doorbell.ring(place.bell)

    def _remove_left_end(self, key: AttemptKey) -> None:
        if key in self._left_ends:
            remove_left_end(self._setup.place, key)
            self._left_ends.remove(key)

    def _record(self, end: AttemptEnd) -> None:
        from cronq.store import open_store

        store = open_store(self._setup.place, environ=self._environ)
        try:
            if self._setup.place.address is not None:
                from cronq.store.postgres.store import PostgresStore

                # What is in the ledger is told by the database's clock, and this host's may be wrong.
                assert isinstance(store, PostgresStore)
                end = shifted(end, store.database_now() - clock.now_us())
            if end.outcome is Outcome.CANCELLED:
                # A signal says that somebody wants it stopped; the ledger also knows why.
                reasons = dict(store.stop_requests())
                end = _with_reason(end, reasons.get(end.key))
            store.record([], [end])
        finally:
            store.close()


def _with_reason(end: AttemptEnd, reason: str | None) -> AttemptEnd:
    return end if reason is None else end._replace(reason=reason)
