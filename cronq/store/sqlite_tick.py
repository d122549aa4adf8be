"""The store as one tick sees it: what is due by an instant, of the jobs that it is about, and no more."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from cronq.clock import now_us
from cronq.errors import JobNotFound
from cronq.model import (
    Attempt,
    AttemptEnd,
    AttemptKey,
    AttemptStart,
    Claim,
    Micros,
    Outcome,
    Run,
)
from cronq.plan import Launch, after_attempt
from cronq.store import queries_tick as own
from cronq.store.base import DueJob, Held
from cronq.store.connection import Connection
from cronq.store.location import Place
from cronq.store.sqlite import open_connection
from cronq.store.sqlite_portable import PortableStore
from cronq.store.sqlite_rows import run_and_attempt


class Limits(NamedTuple):
    """What a tick looks at.

    Attributes:
        due_until: Fire times after this belong to the next tick.
        waits_until: Runs that become available later than this are left to the next tick.
        only: Names of the jobs that it is about; empty: all of them.
        tags: Of those, only jobs with one of these; empty: all of them.
        max_age_s: Misfires that are older are missed, whatever their jobs allow; None: as they allow.
    """

    due_until: Micros
    waits_until: Micros
    only: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    max_age_s: float | None = None


class Beginning(NamedTuple):
    """What there was when a tick began: the last run's number, and the runs that were not done."""

    last: int
    open: tuple[int, ...]


ANY = "*"
"""In the place of a job's name: all of them."""


class Draft(Protocol):
    """A text that will tell of what is being written."""

    def put(self) -> None:
        """Let it take its place."""

    def discard(self) -> None:
        """Forget it."""


Keep = Callable[["TickStore", Collection[str] | None], Draft | None]
"""Drafts a portable state, given the jobs that were touched (None: any); None: it says nothing new."""


class TickStore(PortableStore):
    """The store of one tick; to be limited before the loop looks at it.

    Attributes:
        time: Tells wall time as the tick sees it.
        cut: Numbers of the runs that were stopped because the time of the tick was over.
        keep: Drafts the portable state, if there is one, before what it tells of is durable.
    """

    time: Callable[[], Micros] = staticmethod(now_us)
    limits: Limits | None = None
    cut_reason = "the budget of the tick was spent"
    """Why attempts are stopped that did not end in time."""

    def __init__(self, connection: Connection, place: Place) -> None:
        super().__init__(connection, place)
        self.cut: set[int] = set()
        self.beginning = Beginning(0, ())
        self.keep: Keep | None = None
        self._claims: dict[AttemptKey, Claim] = {}
        self._touched: set[str] = set()

    def limit(self, limits: Limits) -> None:
        """Say what this tick is about. Raises: JobNotFound: A name is none."""
        self.limits = limits
        self.left_alone = ()
        if limits.only or limits.tags:
            jobs = self.named_jobs(limits.only) if limits.only else self.all_jobs()
            tags = frozenset(limits.tags)
            chosen = {job.id for job in jobs if not tags or not tags.isdisjoint(job.definition.tags)}
            if not chosen:
                raise JobNotFound(
                    f"no job has the tag {', '.join(f'`{tag}`' for tag in limits.tags)}",
                    hint="which jobs have which: cronq export",
                )
            self.left_alone = [job_id for job_id, _ in self._all(own.TICK_JOBS) if job_id not in chosen]

    def has_anything_to_do(self) -> bool:
        """Return whether something is due, queued or running."""
        return self.has_work() or bool(self.due_left())

    def due_left(self) -> list[DueJob]:
        """Return a job whose fire times are due and not accounted for, if there is one."""
        return [] if self.limits is None else self.due_jobs(self.limits.due_until, limit=1)

    # What the loop asks

    def due_jobs(self, now: Micros, *, limit: int) -> list[DueJob]:
        """Return jobs that are due, of those that the tick is about, earliest first."""
        if self.left_alone:
            due = [one for one in super().due_jobs(now, limit=-1) if one.job.id not in self.left_alone]
            due = due[:limit]
        else:
            due = super().due_jobs(now, limit=limit)
        max_age_s = None if self.limits is None else self.limits.max_age_s
        return due if max_age_s is None else [_aged(one, max_age_s) for one in due]

    def next_wake(self, now: Micros) -> Micros | None:
        """Return when something that is due, or will be available, wants to be looked at."""
        if due := self.due_left():
            return due[0].job.next_fire_at
        row = self._maybe(own.TICK_NEXT, (now, self._left_alone()))
        return None if row is None else int(row[0])

    def has_work(self) -> bool:
        """Return whether a run is running, or is available within the bound."""
        until = self.limits.waits_until if self.limits else 2**62
        (answer,) = self._one(own.TICK_WORK, (until, self._left_alone()))
        return bool(answer)

    def launch_startup(self, boot_id: str, *, now: Micros) -> list[Run]:  # noqa: ARG002
        """Queue nothing: a tick is no start, and each of a hosted runner would be one."""
        return []

    def is_queued_at(self, now: Micros) -> bool:
        """Return whether a run waits that could have been started by now."""
        (answer,) = self._one(own.TICK_QUEUED, (now, self._left_alone()))
        return bool(answer)

    def held(self) -> list[Held]:
        """Return all running runs."""
        found = super().held()
        self._claims |= {one.claim.key: one.claim for one in found}
        return found

    def claim(
        self, workers: Sequence[str], boot_id: str, *, now: Micros, ahead: Sequence[str] = ()
    ) -> list[Claim]:
        """Give each worker the next available run."""
        claims = super().claim(workers, boot_id, now=now, ahead=ahead)
        self._claims |= {claim.key: claim for claim in claims}
        self._touched |= {claim.run.job for claim in claims}
        return claims

    def launch(self, launches: Sequence[Launch], *, now: Micros) -> list[Run]:
        """Insert the runs of each decision and move its watermark."""
        self._touched |= {launch.job.name for launch in launches}
        return super().launch(launches, now=now)

    def record(self, starts: Sequence[AttemptStart], ends: Sequence[AttemptEnd]) -> list[Run]:
        """Write what became of attempts."""
        runs = super().record(starts, ends)
        self._touched |= {run.job for run in runs}
        return runs

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make one transaction of the block, and of the portable state that tells of it."""
        draft = None
        try:
            with super().together():
                yield
                if self._touched and self.keep is not None:
                    draft = self.keep(self, None if ANY in self._touched else self._touched)
        except BaseException:
            if draft is not None:
                draft.discard()
            raise
        self._touched.clear()
        if draft is not None:
            draft.put()

    def keep_all(self) -> None:
        """Let the portable state, if there is one, tell of all that there is."""
        if self.keep is None:
            return
        with self.together():
            self._touched.add(ANY)

    def ask_stops(self, keys: Sequence[AttemptKey], reason: str) -> None:  # noqa: ARG002
        """Record that attempts are cancelled, before anything is done to them: there may be no later.

        Whether their runs start again is up to the crash rule of their jobs: it was not their fault.
        """
        ends = [self._cut(self._claims[key], self.time()) for key in keys if key in self._claims]
        self.cut |= {end.key[0] for end in ends}
        with self.together():
            self.record([], ends)

    def _cut(self, claim: Claim, now: Micros) -> AttemptEnd:
        retry = after_attempt(claim.definition, claim.run, Outcome.ABANDONED, now)
        return AttemptEnd(
            claim.key, Outcome.CANCELLED, now, self.cut_reason, retry_at=retry.at, counts=retry.counts
        )

    def _left_alone(self) -> str:
        return json.dumps([*self.left_alone])

    def stamp(self) -> str:
        """Return a text that is another one after each change of a job, a lock or a calendar."""
        return ".".join(str(value) for value in self._one(own.TICK_STAMP))

    # What it did

    def begin(self) -> None:
        """Remember what there is now, for `rows` at the end."""
        (last,) = self._one(own.TICK_LAST)
        self.beginning = Beginning(last, tuple(run_id for (run_id,) in self._all(own.TICK_OPEN)))

    def rows(self) -> list[tuple[Run, Attempt | None]]:
        """Return the runs that were made since it began, or were open then, each with its last attempt."""
        values = {"last": self.beginning.last, "open": json.dumps(self.beginning.open)}
        return [run_and_attempt(row) for row in self._all(own.TICK_ROWS, values)]


def open_tick_store(
    place: Place,
    *,
    create: bool = False,
    read_only: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> TickStore:
    """Open the ledger for a tick, or only to look whether there is anything to do; as `open_store`."""
    connection = open_connection(
        place, create=create, read_only=read_only, for_scheduler=not read_only, environ=environ
    )
    return TickStore(connection, place)


def _aged(due: DueJob, max_age_s: float) -> DueJob:
    definition = due.job.definition
    window_s = min(definition.catch_up_window_s, max_age_s)
    return due._replace(job=due.job._replace(definition=definition._replace(catch_up_window_s=window_s)))
