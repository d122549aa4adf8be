"""Several actors do what they like to one ledger, and die at any moment; what must never happen never does.

Each actor has a connection of its own and acts on what it read some time ago, as processes do. It may be cut
off at any statement, also at a COMMIT whose answer it never gets; then it does the same once more. The
invariants are checked after every step, through a connection that takes no part.
"""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cronq.errors import IllegalTransition, JobExists, JobNotFound, StoreUnreachable
from cronq.model import (
    UNSTARTED,
    AttemptEnd,
    AttemptStart,
    CatchUp,
    Claim,
    Job,
    Micros,
    Outcome,
    Overlap,
    Run,
    State,
    Usage,
)
from cronq.plan import Launch, after_attempt, decide, pass_over
from cronq.store import DueJob, JobChange, NewJob, Place, RunQuery, Store, open_store
from cronq.store.postgres.address import parse_address
from tests.postgres import faults
from tests.postgres.server import Server
from tests.unit.store.builders import definition
from tests.unit.test_plan import BASE, EVERY_MINUTE, MINUTE

ACTORS = 3
actors = st.integers(0, ACTORS - 1)
picks = st.integers(0, 2**16)
names = st.sampled_from(["a", "b", "c"])
outcomes = st.sampled_from([o for o in Outcome if o not in UNSTARTED])
policies = st.fixed_dictionaries(
    {
        "overlap": st.sampled_from(Overlap),
        "max_running": st.integers(1, 3),
        "catch_up": st.sampled_from(CatchUp),
        "retries": st.integers(0, 3),
        "retry_delay_s": st.just(0.0),
        "priority": st.integers(-1, 1),
    }
)


class Death(BaseException):
    """An actor is killed here; no Exception, so that nothing in the product can catch it."""


def mortal(act: Callable[..., None]) -> Callable[..., None]:
    """Let an actor that was cut off while it acted act once more: what it did must be safe to repeat."""

    @functools.wraps(act)
    def acting(self: Ledger, actor: int, **values: Any) -> None:
        try:
            act(self, actor, **values)
        except Death:
            self.stores[actor].close()
            self.stores[actor] = self.connect()
        except StoreUnreachable:
            pass  # it lives, and its store connects again by itself
        else:
            return
        self.learn()
        act(self, actor, **values)

    return acting


class Ledger(RuleBasedStateMachine):
    """A ledger in an SQLite file."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.place = self.make_place(Path(self.folder.name))
        self.onlooker = self.connect()
        self.stores = [self.connect() for _ in range(ACTORS)]
        self.seen: list[list[DueJob]] = [[] for _ in range(ACTORS)]
        self.planned: list[list[Launch]] = [[] for _ in range(ACTORS)]
        self.now: Micros = BASE
        self.claims: list[Claim] = []
        self.done: dict[int, Run] = {}
        self.attempts: Counter[int] = Counter()
        self.most: dict[int, int] = {}
        self.first_fire: dict[int, Micros] = {}

    def make_place(self, folder: Path) -> Place:
        return Place(folder / "cronq.db", folder / "logs", "test")

    def connect(self) -> Store:
        return open_store(self.place, create=True, environ={})

    def doom(self, store: Any, statements: int, how: str) -> None:
        """Let a process be killed just before one of its next statements, or just after it."""
        execute = store._db.execute
        numbers = itertools.count()

        def last_execute(*args: Any) -> Any:
            if next(numbers) != statements:
                return execute(*args)
            if how == "answer":
                execute(*args)
            raise Death

        store._db.execute = last_execute

    def learn(self) -> None:
        """Take note of what an actor did who was cut off before it could say so."""
        for overview in self.onlooker.overviews(recent=0):
            job = overview.job
            assert job.definition.max_running is not None
            self.most[job.id] = max(self.most.get(job.id, 0), job.definition.max_running)
            first = EVERY_MINUTE.next_us(job.created_at)
            assert first is not None
            self.first_fire.setdefault(job.id, first)

    def teardown(self) -> None:
        for store in (self.onlooker, *self.stores):
            store.close()
        self.folder.cleanup()

    # What people do

    @initialize(fields=policies)
    def begin(self, fields: dict[str, Any]) -> None:
        self.add(0, name="a", fields=fields)

    @rule(actor=actors, name=names, fields=policies)
    @mortal
    def add(self, actor: int, name: str, fields: dict[str, Any]) -> None:
        first = EVERY_MINUTE.next_us(self.now)
        assert first is not None
        try:
            job = self.stores[actor].add_job(NewJob(name, definition(**fields), first), now=self.now)
        except JobExists:
            return
        self.most[job.id] = fields["max_running"]
        self.first_fire[job.id] = first

    @rule(actor=actors, name=names)
    @mortal
    def trigger(self, actor: int, name: str) -> None:
        try:
            (run,) = self.stores[actor].trigger([name], now=self.now)
        except JobNotFound:
            return
        assert run.state is State.QUEUED

    @rule(actor=actors, pick=picks)
    @mortal
    def cancel(self, actor: int, pick: int) -> None:
        run = self.some_run(pick)
        if run is None:
            return
        try:
            after = self.stores[actor].cancel(run.id, reason="by hand", now=self.now)
        except IllegalTransition:
            assert run.state is State.DONE
        else:
            assert after.state is (State.DONE if run.state is State.QUEUED else State.RUNNING)

    @rule(actor=actors, pick=picks)
    @mortal
    def retry(self, actor: int, pick: int) -> None:
        run = self.some_run(pick)
        if run is None:
            return
        try:
            (again,) = self.stores[actor].retry([run.id], now=self.now)
        except IllegalTransition:
            assert run.state is not State.DONE
        except JobNotFound:
            pass
        else:
            assert again.logical_at == run.logical_at

    @rule(
        actor=actors, name=names, what=st.sampled_from(["pause", "resume", "remove", "set"]), fields=policies
    )
    @mortal
    def change(self, actor: int, name: str, what: str, fields: dict[str, Any]) -> None:
        """Change a job as this actor saw it last, which may be long ago."""
        due = next((due for due in self.seen[actor] if due.job.name == name), None)
        if due is None:
            return
        job = due.job
        before = self.present(job)
        changed = self.stores[actor].change_jobs([self.changed(due, what, fields)], now=self.now)
        is_fresh = before is not None and watermark(before) == watermark(job)
        assert (changed is not None) == is_fresh
        if changed is not None and what == "set":
            self.most[job.id] = max(self.most[job.id], fields["max_running"])

    def changed(self, due: DueJob, what: str, fields: dict[str, Any]) -> JobChange:
        job = due.job
        if job.paused_at is None:
            settled = decide(job, EVERY_MINUTE, due.active, self.now)
        else:
            settled = pass_over(job, EVERY_MINUTE, self.now, Outcome.SKIPPED, "paused")
        if what == "pause":
            return JobChange(settled, paused_at=self.now)
        if what == "resume":
            return JobChange(settled)
        if what == "remove":
            return JobChange(settled, paused_at=job.paused_at, removed=True)
        return JobChange(settled, definition(**fields), paused_at=job.paused_at)

    # What schedulers and workers do

    @rule(minutes=st.integers(1, 9))
    def time_passes(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @rule(actor=actors)
    @mortal
    def look(self, actor: int) -> None:
        store = self.stores[actor]
        self.seen[actor] = store.due([overview.job.name for overview in store.overviews()])
        self.planned[actor] = [
            decide(due.job, EVERY_MINUTE, due.active, self.now)
            for due in self.seen[actor]
            if due.job.paused_at is None
        ]

    @rule(actor=actors)
    @mortal
    def launch(self, actor: int) -> None:
        """Launch what this actor decided when it looked last; perhaps it did so already."""
        for run in self.stores[actor].launch(self.planned[actor], now=self.now):
            assert run.fire_at is not None
            assert run.fire_at <= self.now

    @rule(actor=actors)
    def turn(self, actor: int) -> None:
        """Look and launch at once, as a scheduler does that nobody disturbs."""
        self.look(actor)
        self.launch(actor)

    @rule(actor=actors, count=st.integers(1, 4))
    @mortal
    def claim(self, actor: int, count: int) -> None:
        store = self.stores[actor]
        possible = store.claimable(self.now, limit=count)
        claims = store.claim([f"w{actor}.{n}" for n in range(count)], "boot", now=self.now)
        assert len(claims) == possible
        self.claims += claims

    @precondition(lambda self: self.claims)
    @rule(actor=actors, pick=picks)
    @mortal
    def start(self, actor: int, pick: int) -> None:
        claim = self.claims[pick % len(self.claims)]
        self.stores[actor].record([AttemptStart(claim.key, 99, self.now)], [])

    @precondition(lambda self: self.claims)
    @rule(actor=actors, pick=picks, outcome=outcomes, may_retry=st.sampled_from([True, True, False]))
    @mortal
    def finish(self, actor: int, pick: int, outcome: Outcome, may_retry: bool) -> None:
        """Report an end, perhaps of an attempt that is over since long."""
        claim = self.claims[pick % len(self.claims)]
        run = self.onlooker.run(claim.run.id).run
        retry = after_attempt(claim.definition, claim.run, outcome, self.now)
        end = AttemptEnd(
            claim.key,
            outcome,
            self.now,
            started_at=self.now,
            usage=Usage(1.0),
            retry_at=retry.at if may_retry else None,
            counts=retry.counts,
        )
        written = self.stores[actor].record([], [end])
        still_ours = run.state is State.RUNNING and run.attempt == claim.run.attempt
        assert bool(written) == still_ours
        if run.stop_reason is not None and written:
            assert written[0].state is State.DONE, "what is to be stopped is not tried again"

    # Death

    @rule(actor=actors)
    def crash(self, actor: int) -> None:
        self.stores[actor].close()
        self.stores[actor] = self.connect()
        self.seen[actor] = []
        self.planned[actor] = []

    @rule(actor=actors, statements=st.integers(0, 15), how=st.sampled_from(faults.KINDS))
    def be_doomed(self, actor: int, statements: int, how: str) -> None:
        """Be cut off at one of the next statements."""
        self.doom(self.stores[actor], statements, how)

    @rule(actor=actors)
    def crash_inside_a_transaction(self, actor: int) -> None:
        self.crash(actor)  # whatever it was doomed to
        db: Any = self.stores[actor]._db  # type: ignore[attr-defined]
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE job SET next_fire_at = NULL, revision = revision + 1")
        db.execute("DELETE FROM attempt")
        db.execute("DELETE FROM run")
        self.crash(actor)

    # What must hold

    @invariant()
    def each_fire_time_is_accounted_for_once(self) -> None:
        rows: dict[int, list[Run]] = {}
        for run in self.all_runs():
            rows.setdefault(run.job_id, []).append(run)
        for overview in self.onlooker.overviews(recent=0):
            job = overview.job
            assert job.next_fire_at is not None
            expected = list(EVERY_MINUTE.iter_us(self.first_fire[job.id], job.next_fire_at))
            covered: list[Micros] = []
            for run in rows.get(job.id, []):
                if run.fire_at is not None and run.last_fire_at is not None:
                    inside = list(EVERY_MINUTE.iter_us(run.fire_at, run.last_fire_at + 1))
                    assert len(inside) == run.fire_count
                    covered += inside
            assert sorted(covered) == expected, job.name

    @invariant()
    def attempts_only_grow_and_done_rows_never_change(self) -> None:
        running: Counter[int] = Counter()
        for run in self.all_runs():
            assert run.attempt >= self.attempts[run.id]
            assert 0 <= run.failures <= run.attempt
            self.attempts[run.id] = run.attempt
            running[run.job_id] += run.state is State.RUNNING
            if run.id in self.done:
                assert run == self.done[run.id]
            elif run.state is State.DONE:
                self.done[run.id] = run
        assert set(self.attempts) == {run.id for run in self.all_runs()}, "no row vanishes"
        for job_id, count in running.items():
            assert count <= self.most[job_id]

    @invariant()
    def running_runs_are_held_by_exactly_one_attempt(self) -> None:
        held = [held.claim.key for held in self.onlooker.held()]
        assert held == [(run.id, run.attempt) for run in self.all_runs() if run.state is State.RUNNING]
        db: Any = self.onlooker._db  # type: ignore[attr-defined]
        open_attempts = db.execute("SELECT run_id, attempt FROM attempt WHERE outcome IS NULL").fetchall()
        assert sorted(open_attempts) == held

    def all_runs(self) -> list[Run]:
        return [run for run, _ in reversed(self.onlooker.runs(RunQuery(limit=10_000)))]

    def some_run(self, pick: int) -> Run | None:
        runs = self.all_runs()
        return runs[pick % len(runs)] if runs else None

    def present(self, job: Job) -> Job | None:
        try:
            present = self.onlooker.job(job.name)
        except JobNotFound:
            return None
        return present if present.id == job.id else None


def watermark(job: Job) -> tuple[int, Micros | None, Micros | None]:
    """Return what a change is compared with."""
    return job.revision, job.next_fire_at, job.paused_at


class ServedLedger(Ledger):
    """A ledger in PostgreSQL; the examples share a schema, which each finds empty."""

    server: ClassVar[Server]

    def make_place(self, folder: Path) -> Place:
        address = parse_address(f"{self.server.url}&schema=machine", "test")
        place = Place(folder / "node", folder / "logs", "test", address=address)
        store = open_store(place, create=True, environ={})
        for table in ("hold", "attempt", "run", "definition", "job", "lock", "calendar", "fact"):
            where = " WHERE name <> 'format'" if table == "fact" else ""
            store._db.execute(f"DELETE FROM {table}{where}")  # type: ignore[attr-defined]
        store.close()
        return place

    def doom(self, store: Any, statements: int, how: str) -> None:
        faults.doom(store._db, statements, how)


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)


@pytest.mark.slow
class TestLedgerAtLength(Ledger.TestCase):  # type: ignore[misc,valid-type]
    settings = settings(max_examples=800, stateful_step_count=80, deadline=None)


class TestServedLedger(ServedLedger.TestCase):  # type: ignore[misc,valid-type]
    settings = settings(max_examples=40, stateful_step_count=50, deadline=None)

    @pytest.fixture(autouse=True)
    def serve(self, postgres: Server) -> None:
        ServedLedger.server = postgres


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestServedLedgerAtLength(TestServedLedger):
    settings = settings(max_examples=400, stateful_step_count=80, deadline=None)
