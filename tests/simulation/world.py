"""A world in which the real scheduler, planner and store live on a virtual clock.

Only two things are played: time, which jumps from event to event, and processes, which take as long as the
test says. As in the real world, workers outlive a killed scheduler and write their results themselves.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

from cronq import plan
from cronq.cli._change import settle, skip_due
from cronq.clock import us_from_datetime
from cronq.model import (
    AttemptKey,
    Claim,
    Command,
    CommandKind,
    Definition,
    Job,
    Micros,
    Outcome,
    Run,
)
from cronq.plan import FireTimes, Launch
from cronq.proof import prove
from cronq.redefine import redefine, zone_data
from cronq.store import CalendarText, DueJob, JobChange, NewJob, Place, RunQuery, Store, open_store
from cronq.store.postgres.address import Address
from cronq.store.sqlite_rows import Ledger
from cronq.timing import fire_times, times_of
from cronq.virtual.clock import VirtualClock
from cronq.virtual.workers import Play, Played, PlayedWorkers
from cronq.virtual.world import VirtualWorld
from cronq.worker.base import Workers

TRUE = Command(CommandKind.ARGV, ("true",))


class Crash(BaseException):
    """The scheduler is killed here; not an Exception, so that nothing in the product can catch it."""


class WatchedWorkers(PlayedWorkers):
    """Played workers that remember every start, and that none of them was forbidden."""

    def __init__(self, clock: VirtualClock, store: Callable[[], Store], slots: int, play: Play) -> None:
        super().__init__(clock, store, slots, play)
        self.starts: list[tuple[AttemptKey, str, Micros, Micros]] = []
        self.most_alive: dict[str, int] = {}
        self._ever: set[AttemptKey] = set()

    def assign(self, claim: Claim) -> None:
        key = claim.key
        assert key not in self._ever, f"attempt {key} was started twice"
        self._ever.add(key)
        super().assign(claim)
        self.starts.append((key, claim.run.job, claim.run.logical_at, self.clock.now()))
        together = sum(other.run.job_id == claim.run.job_id for other in self.alive.values())
        limit = claim.definition.max_running
        assert limit is None or together <= limit, f"{together} runs of {claim.run.job} at a time"
        self.most_alive[claim.run.job] = max(together, self.most_alive.get(claim.run.job, 0))


STORE_STEPS = frozenset(
    {
        *("launch", "launch_startup", "claim", "record", "set_fact"),
        *("scheduler_started", "follow_clock_back"),
        *("add_job", "change_jobs", "trigger", "cancel", "retry", "set_calendar"),
    }
)
"""Methods of the store that write."""
RETENTION_STEPS = frozenset({"prune", "forget_job"})
"""Those that only happen where jobs have limits."""
WORKER_STEPS = frozenset({"poll", "assign", "acknowledge"})
"""What the scheduler does to workers: between two of these it has told one of something, and others not."""


class Mortal:
    """The real store, or the workers, where somebody may be killed just before or just after a step."""

    def __init__(
        self,
        subject: object,
        steps: frozenset[str],
        fate: Callable[[str, str], bool],
        seen: Callable[[str], None] = lambda _step: None,
    ) -> None:
        """Wrap; `seen` is called after each step that was done, before the killer has his chance."""
        self._subject = subject
        self._steps = steps
        self._fate = fate
        self._seen = seen

    def __getattr__(self, name: str) -> object:
        method = getattr(self._subject, name)
        if name not in self._steps:
            return method

        def mortal(*args: object, **kwargs: object) -> object:
            if self._fate(name, "before"):
                raise Crash(f"before {name}")
            result = method(*args, **kwargs)
            self._seen(name)
            if self._fate(name, "after"):
                raise Crash(f"after {name}")
            return result

        return mortal


def never(_name: str, _when: str) -> bool:
    return False


@dataclass
class World(VirtualWorld):
    """A world in which the scheduler, and people's commands, may be killed at any step."""

    fate: Callable[[str, str], bool] = never
    address: Address | None = None
    """Of a server that has the ledger; None: it is a file."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.workers: WatchedWorkers
        self.born = self.now
        self.crashes = 0

    def hire(self) -> WatchedWorkers:
        return WatchedWorkers(self.clock, self.open, self.slots, lambda claim: self.play(claim))

    def locate(self) -> Place:
        if self.address is None:
            return super().locate()
        return Place(self.folder / "node", self.folder / "logs", "virtual world", address=self.address)

    def create(self) -> Store:
        return super().create() if self.address is None else open_store(self.place, create=True)

    def open(self) -> Store:
        return super().open() if self.address is None else open_store(self.place)

    @property
    def database(self) -> sqlite3.Connection:
        """The connection of the store, for looks that no method gives; on a server, what is like one."""
        assert isinstance(self.store, Ledger)
        return self.store._db

    def mortal(self) -> Store:
        """Return the store as somebody sees it who may be killed at any step."""
        steps = STORE_STEPS | RETENTION_STEPS
        return Mortal(self.store, steps, self.fate, self.seen)  # type: ignore[return-value]

    def seen(self, step: str) -> None:
        """Look at the store after a step; worlds with an opinion do."""

    def add(self, name: str, schedule: str, through: Store | None = None, **fields: object) -> Job:
        definition = Definition(TRUE, schedule)
        definition = definition._replace(**fields)  # type: ignore[arg-type]
        times = fire_times(definition, name, self.store.calendars())
        now = self.clock.now()
        data = zone_data(definition)
        new = NewJob(name, definition, times.next_us(now), times.at_startup, tzdata=data)
        return (through or self.store).add_job(new, now=now)

    def change(self, name: str, decide: Callable[[plan.FireTimes, Job], JobChange]) -> Job:
        """Do what a changing command does: settle, then change."""
        job = self.store.job(name)
        times = times_of(job, self.store.calendars())
        changed = self.store.change_jobs([decide(times, job)], now=self.clock.now())
        assert changed is not None
        return changed[0]

    def set(self, name: str, **fields: object) -> Job:
        """Do what `cronq set` does."""
        due = self._settled(name)
        definition = due.job.definition._replace(**fields)  # type: ignore[arg-type]
        times = fire_times(definition, name, self.store.calendars())
        return self._apply(redefine(due, _as_it_is(due), definition, times, due.since(self.clock.now())))

    def remove(self, name: str) -> Job:
        """Do what `cronq remove` does."""
        due = self.store.due([name])[0]
        reason = "removed" if due.job.paused_at is None else "paused"
        settled = skip_due(due, self.clock.now(), reason, self.store.calendars())
        return self._apply(JobChange(settled._replace(next_fire_at=None), removed=True))

    def set_calendar(self, name: str, text: str) -> None:
        """Do what `cronq calendars add --replace` does."""
        after = {**self.store.calendars(), name: text}
        earlier = [one.since + 1 for one in self.store.calendar_texts([name])]
        calendar = CalendarText(name, max([self.clock.now(), *earlier]), text)
        changes = []
        for overview in self.store.overviews(recent=0):
            if any(use.rpartition(":")[0] == name for use in overview.job.definition.calendars):
                due = self._settled(overview.job.name)
                since = max(due.since(self.clock.now()), calendar.since)
                times = times_of(due.job, after)
                changes.append(redefine(due, _as_it_is(due), due.job.definition, times, since))
        assert self.store.change_jobs(changes, now=self.clock.now(), calendar=calendar) is not None

    def pause(self, name: str) -> None:
        """Do what `cronq pause` does."""
        self._apply(JobChange(_as_it_is(self._settled(name)), paused_at=self.clock.now()))

    def resume(self, name: str) -> None:
        """Do what `cronq resume` does."""
        self._apply(JobChange(_as_it_is(self._settled(name))))

    def _settled(self, name: str) -> DueJob:
        """Account for all that is due, as a changing command does before it changes anything."""
        while True:
            (due,) = self.store.due([name])
            job, now = due.job, self.clock.now()
            if job.next_fire_at is None or job.next_fire_at > now:
                return due
            self._apply(JobChange(settle(due, now, self.store.calendars()), paused_at=job.paused_at))

    def _apply(self, change: JobChange) -> Job:
        changed = self.store.change_jobs([change], now=self.clock.now())
        assert changed is not None
        return changed[0]

    def run_until(self, wall: Micros, **options: object) -> None:
        """Let a scheduler live until this wall time; after each crash a new one starts."""
        end = self.clock.elapsed + wall - self.clock.wall
        workers = cast("Workers", Mortal(self.workers, WORKER_STEPS, self.fate))
        while self.clock.elapsed < end:
            try:
                if self.live_once(self.mortal(), workers, end, **options):
                    return
            except Crash:
                self.crashes += 1

    def rows(self, name: str) -> list[Run]:
        """Return the job's runs, oldest first."""
        listed = self.store.runs(RunQuery((name,), limit=1_000_000))
        return sorted((run for run, _ in listed), key=lambda run: (run.logical_at, run.id))

    def check(self, names: Iterable[str] = ()) -> None:
        """Prove the ledger: of these jobs, or of all that ever were."""
        for job_id in self.store.ever(list(names)):
            proof = prove(self.store, job_id, self.clock.wall)
            assert not proof.total, (proof.job.name, proof.differences[:5], proof.contradictions[:5])
            assert not proof.unproven, (proof.job.name, proof.unproven[:5])
            if proof.job.revision == 1 and proof.job.removed_at is None:
                self._check_job(proof.job)

    def _check_job(self, job: Job) -> None:
        """The same without a line of the product's own proof; only of a job that never was changed."""
        times = times_of(job, self.store.calendars())
        mark = job.next_fire_at if job.next_fire_at is not None else self.clock.wall + 1
        expected = list(times.iter_us(job.created_at + 1, mark))
        covered: list[Micros] = []
        for run in self.rows(job.name):
            if run.fire_at is None or run.last_fire_at is None:
                continue
            if run.fire_count == 1:
                covered.append(run.fire_at)
                continue
            inside = list(times.iter_us(run.fire_at, run.last_fire_at + 1))
            assert len(inside) == run.fire_count, (run, len(inside))
            covered += inside
        assert sorted(covered) == expected, (
            job.name,
            f"missing {sorted(set(expected) - set(covered))[:5]}",
            f"extra {sorted(set(covered) - set(expected))[:5]}",
            f"doubled {len(covered) - len(set(covered))}",
        )


def _as_it_is(due: DueJob) -> Launch:
    return Launch(due.job, (), due.job.next_fire_at)


def utc(text: str) -> Micros:
    from datetime import datetime

    return us_from_datetime(datetime.fromisoformat(text + "+00:00"))


__all__ = [
    "Crash",
    "FireTimes",
    "Launch",
    "Outcome",
    "Played",
    "World",
    "times_of",
    "utc",
]
