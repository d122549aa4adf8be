"""Named locks in the SQLite store: who holds one is a row, so nobody has to be asked but the database.

A run takes its locks with the claim and gives them back with its end, in the same transactions. A process
outside joins the line with a row of its own, and takes the locks itself when its turn has come.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from cronq.errors import ConflictError, NotFoundError
from cronq.model import AttemptKey, Micros
from cronq.named_locks import LockBook, LockWish
from cronq.store import queries
from cronq.store.base import LockState, LockUser
from cronq.store.connection import transaction
from cronq.store.sqlite_rows import Ledger, unknown_names


class _Hold(NamedTuple):
    """A row of `HOLD_LIST`."""

    lock: str
    run_id: int | None
    attempt: int | None
    holder: str | None
    label: str
    asked_at: Micros
    taken_at: Micros | None


class _InLine(NamedTuple):
    """A queued run that needs locks and is held up by nothing else."""

    run_id: int
    job_id: int
    job: str
    locks: list[str]
    since: Micros


class LockSide(Ledger):
    """The methods of `Store` about named locks, and what the claim needs of them."""

    def lock_states(self, now: Micros) -> list[LockState]:
        """Return all named locks, by name."""
        holds = self._holds()
        waiting = self._waiting_runs(holds, now)
        states = []
        for name, capacity in self._capacities().items():
            of_lock = [hold for hold in holds if hold.lock == name]
            holders = [
                LockUser(hold.label, hold.run_id, hold.taken_at, hold.holder)
                for hold in of_lock
                if hold.taken_at is not None
            ]
            line = [LockUser(run.job, run.run_id, run.since) for run, locks in waiting if name in locks]
            line += [
                LockUser(hold.label, None, hold.asked_at, hold.holder)
                for hold in of_lock
                if hold.taken_at is None
            ]
            line.sort(key=lambda user: user.since)
            states.append(LockState(name, capacity, tuple(holders), tuple(line)))
        return states

    def set_lock(self, name: str, capacity: int, *, now: Micros) -> None:
        """Say how many may hold a lock, which is made if there is none."""
        with transaction(self._db, self._path):
            self._db.execute(queries.LOCK_SET, (name, capacity, now))

    def remove_lock(self, name: str) -> None:
        """Forget a lock."""
        with transaction(self._db, self._path):
            self.require_locks([name])
            jobs = self._jobs_naming(name)
            if jobs:
                hint = f"let them do without it first: cronq set {jobs[0]} --lock none"
                raise ConflictError(f"lock `{name}` is named by {', '.join(jobs)}", hint=hint)
            if any(hold.lock == name for hold in self._holds()):
                raise ConflictError(f"lock `{name}` is in use", hint=f"by whom: cronq lock {name}")
            self._db.execute(queries.LOCK_REMOVE, (name,))

    def ask_locks(self, names: Sequence[str], holder: str, command: str, *, now: Micros) -> None:
        """Join the lines of locks as a process outside."""
        with transaction(self._db, self._path):
            self.require_locks(names)
            for name in names:
                self._db.execute(queries.HOLD_ASK, (name, holder, command, now))

    def take_locks(
        self, holder: str, *, ignored: Collection[AttemptKey], runs_come_first: bool, now: Micros
    ) -> bool:
        """Take the locks that a process outside asked for, if it is its turn."""
        # Looking first keeps those who wait from taking the write lock again and again.
        if not self._is_turn_of(holder, ignored, runs_come_first, now):
            return False
        with transaction(self._db, self._path):
            if not self._is_turn_of(holder, ignored, runs_come_first, now):
                return False
            self._db.execute(queries.HOLD_TAKE, (now, holder))
        return True

    def data_version(self) -> int:
        """Return a number that is another one as soon as somebody else has changed the store."""
        (version,) = self._one("PRAGMA data_version")
        return int(version)

    def release_locks(self, holder: str) -> None:
        """Give back, or stop waiting for, all that a process outside asked for."""
        with transaction(self._db, self._path):
            self._db.execute(queries.HOLD_REMOVE_OUTSIDE, (holder,))

    def lose_place(self, holder: str, *, now: Micros) -> None:
        """Let a process outside stand last in the lines in which it waits."""
        with transaction(self._db, self._path):
            for name, command in self._all(queries.HOLD_LEAVE, (holder,)):
                self._db.execute(queries.HOLD_ASK, (name, holder, command, now))

    def outside_holders(self, *, if_queued: bool = False) -> list[str]:
        """Return the processes outside that hold locks, or wait for some, in the order of their lines."""
        return list(dict.fromkeys(holder for (holder,) in self._all(queries.HOLD_OUTSIDE, (if_queued,))))

    def require_locks(self, names: Sequence[str]) -> None:
        """Raise NotFoundError if one of the locks does not exist."""
        known = list(self._capacities())
        unknown = [name for name in names if name not in known]
        if unknown:
            otherwise = f"make it with `cronq lock {unknown[0]} --holders 1`"
            message, hint = unknown_names("lock", unknown, known, otherwise)
            raise NotFoundError(message, hint=hint)

    # For the other sides

    def _lock_book(self, holds: Sequence[_Hold] | None = None) -> LockBook:
        """Return the book for the claim, in which runs and processes outside stand in one line."""
        holds = self._holds() if holds is None else holds
        asked: dict[str, list[Micros]] = {}
        for hold in holds:
            if hold.taken_at is None:
                asked.setdefault(hold.lock, []).append(hold.asked_at)
        return LockBook(self._capacities(), _taken(holds), asked)

    def _wish_locks(self, job_id: int, names: Sequence[str], wishes: Sequence[LockWish], now: Micros) -> None:
        """Make the locks that a job names. Raises: ConflictError: others rely on another number."""
        wanted = {wish.name: wish.capacity for wish in wishes}
        known = self._capacities() if names else {}
        for name in names:
            capacity = wanted.get(name)
            if capacity is not None and known.get(name, capacity) != capacity:
                others = self._jobs_naming(name, besides=job_id)
                if others:
                    raise ConflictError(
                        f"lock `{name}` has {known[name]} holders for {', '.join(others)}, not {capacity}",
                        hint=f"for all of them: cronq lock {name} --holders {capacity}",
                    )
                self._db.execute(queries.LOCK_SET, (name, capacity, now))
            elif name not in known:
                self._db.execute(queries.LOCK_ADD, (name, capacity or 1, now))

    # Inside

    def _capacities(self) -> dict[str, int]:
        return dict(self._all(queries.LOCK_LIST))

    def _holds(self) -> list[_Hold]:
        return [_Hold(*row) for row in self._all(queries.HOLD_LIST)]

    def _in_line(self, now: Micros) -> Iterator[_InLine]:
        """Yield the queued runs that need locks and are held up by nothing else, the first in line first."""
        added: dict[int, int] = {}
        for run_id, job_id, job, max_running, running, locks, since in self._all(queries.RUN_IN_LINE, (now,)):
            more = added.get(job_id, 0)
            if max_running is None or running + more < max_running:
                added[job_id] = more + 1
                yield _InLine(run_id, job_id, job, locks.split(), since)

    def _waiting_runs(self, holds: Sequence[_Hold], now: Micros) -> list[tuple[_InLine, tuple[str, ...]]]:
        """Return the runs that wait for locks, each with the names that are not free."""
        book = self._lock_book(holds)
        found = [(run, book.take(run.locks, run.since)) for run in self._in_line(now)]
        return [(run, missing) for run, missing in found if missing]

    def _is_turn_of(
        self, holder: str, ignored: Collection[AttemptKey], runs_come_first: bool, now: Micros
    ) -> bool:
        holds = self._holds()
        asked_at, names, before = self._line_before(holder, holds)
        live = [hold for hold in holds if (hold.run_id, hold.attempt) not in ignored]
        book = LockBook(self._capacities(), _taken(live), {})
        if not book.are_free(names, asked_at):
            return False  # whoever is ahead: the queue may be long
        # Those ahead who could go are waited for, those who are held up elsewhere are not: a process outside
        # may hold another lock around this one, or sit in a slot, and the one ahead may wait for just that.
        ahead: list[tuple[Micros, list[str]]] = list(before)
        if runs_come_first and self._has_free_slot():
            ahead += [(run.since, run.locks) for run in self._in_line(now) if run.since <= asked_at]
        for since, wanted in sorted(ahead):
            book.take_if_free(wanted, since)
        return book.take_if_free(names, asked_at)

    def _has_free_slot(self) -> bool:
        row = self._maybe(queries.SLOTS_FREE)
        return row is None or row[0] > 0

    def _line_before(
        self, holder: str, holds: Sequence[_Hold]
    ) -> tuple[Micros, list[str], list[tuple[Micros, list[str]]]]:
        """Return since when a process outside waits, for what, and who of its kind came before it."""
        lines: dict[str, tuple[Micros, list[str]]] = {}
        for hold in holds:
            if hold.holder is not None and hold.taken_at is None:
                lines.setdefault(hold.holder, (hold.asked_at, []))[1].append(hold.lock)
        if holder not in lines:
            raise NotFoundError(f"nobody called {holder} waits for a lock")
        order = list(lines)  # by the number of the row, as they came
        asked_at, names = lines[holder]
        return asked_at, names, [lines[other] for other in order[: order.index(holder)]]

    def _jobs_naming(self, name: str, besides: int | None = None) -> list[str]:
        return sorted(
            job
            for job_id, job, locks in self._all(queries.LOCK_JOBS)
            if job_id != besides and name in locks.split()
        )


def _taken(holds: Sequence[_Hold]) -> dict[str, int]:
    taken: dict[str, int] = {}
    for hold in holds:
        if hold.taken_at is not None:
            taken[hold.lock] = taken.get(hold.lock, 0) + 1
    return taken
