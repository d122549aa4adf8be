"""The loop: carry out what `cronq.plan` decides, hand runs to workers, write down what became of them.

Everything it knows is in the store; what it keeps in memory a restart rebuilds. One turn::

      ┌──▶ record what workers reported ─▶ fire: launch due jobs ─▶ claim runs for those that are idle
      │                                                                     │ commit
      └── sleep until something is due, ◀── obey: stop what ◀── tell, acknowledge, give out the claims
          a worker speaks, or the bell rings    is to stop

Order matters: ends are written before anything is fired or claimed, so that a run which has just ended
neither holds up the next one nor counts as an overlap. And all of a turn is one transaction: nobody is told
of anything, and no process started, before it is durable.

Dies: at any line. Workers keep a result until it is acknowledged, and write it themselves if that never
comes.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from cronq import __version__, events, plan
from cronq.aside import set_aside, set_aside_unreadable
from cronq.clock import Clock
from cronq.errors import CronqError, DefinitionUnreadable, ExitCode, StoreError, TimezoneError
from cronq.model import SECOND, AttemptEnd, AttemptKey, AttemptStart, Claim, Micros, Outcome, Run
from cronq.patience import Patience
from cronq.reporter import Reporter, Tail, Watcher
from cronq.rezone import ZoneWatch
from cronq.steps import ClockSteps, on_this_clock
from cronq.store import Held, Store
from cronq.store.base import DueJob
from cronq.timing import placement_of, times_of
from cronq.worker.base import Recalled, Trouble, Workers

DUE_BATCH = 500
"""Jobs decided between two looks at the workers, so that a herd at midnight does not deafen the loop."""
LAUNCH_BATCH = 1000
"""Rows after which a launch is written and the rest left to the next turn: many jobs that catch up with many
fire times each must not deafen the loop either, nor keep others from the store."""
WANTED_AT_ONCE = 4
"""Workers that are asked for in one turn: they start two at a time, and each that is ready is a turn."""
LOOK_ANYWAY_S = 60.0
"""Longest sleep: a change made without ringing the bell (a FIFO that broke) is seen after this."""
LOOK_OUTSIDE_S = 1.0
"""How often to look whether those outside live for whose named locks a run may be waiting."""
GIVE_UP_S = 10.0
"""How long a process may take to die of KILL: one that waits for a dead disk never does."""
HURRIED_KILL_S = 5.0
"""After the second signal: time between TERM and KILL, whatever the job's own is."""


class Stage(IntEnum):
    """How far a scheduler is on its way out; it only ever moves on."""

    RUNNING = 0
    DRAINING = 1
    """No new runs; those running may end by themselves."""
    STOPPING = 2
    """The bound is over: those still running are being stopped."""
    KILLING = 3
    """Asked twice: TERM to all at once, and KILL after `HURRIED_KILL_S`."""
    LEAVING = 4
    """KILL was sent to all; what survives even that is named and left behind after `GIVE_UP_S`."""


@dataclass(slots=True)
class Options:
    """How one scheduler runs.

    Attributes:
        slots: Attempts at a time.
        for_s: Drain after this long; None: run until told to stop.
        until_idle: Drain when nothing is due, queued or running.
        drain_s: How long running attempts may go on after the first request to stop.
        due_until: Fire times after this instant are left to somebody later; None: all are launched.
        fires: Whether it launches what is due, or only executes what others have launched.
        is_alone: Whether nobody else schedules from the same store.
        log_dir: A folder that several hosts share, for the logs of a node; None: they are in its seat.
    """

    slots: int = 32
    for_s: float | None = None
    until_idle: bool = False
    drain_s: float = 30.0
    due_until: Micros | None = None
    fires: bool = True
    is_alone: bool = True
    log_dir: str | None = None


@dataclass(slots=True)
class Ticker:
    """Something to be done every so often from within the loop: a watchdog, a redrawn footer.

    Attributes:
        next_at: Monotonic time of the next call.
        wakes: Whether the loop wakes up for it; else it waits for a turn that comes anyway.
    """

    every_s: float
    action: Callable[[Scheduler], None]
    next_at: float = 0.0
    wakes: bool = True


@dataclass(slots=True)
class _Pending:
    """Reports that are not in the ledger yet."""

    starts: list[AttemptStart] = field(default_factory=list)
    ends: list[AttemptEnd] = field(default_factory=list)
    recalled: list[AttemptKey] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.starts or self.ends or self.recalled)


class Scheduler:
    """One scheduler's life, from the held lock to the last event."""

    def __init__(
        self,
        store: Store,
        workers: Workers,
        clock: Clock,
        *,
        boot_id: str,
        options: Options | None = None,
        tell: events.Sink = events.ignore,
        tail: Tail = lambda _claim, _end: (),
        watcher: Watcher | None = None,
    ) -> None:
        """Take over a store whose lock is held.

        Args:
            store: Not used by anybody else in this process.
            workers: Started already.
            clock: Time, and the only place to sleep in.
            boot_id: Of this boot; attempts of another one cannot be alive.
            options: How to run.
            tell: Where events go.
            tail: Gives the last lines that an attempt printed, if they are wanted.
            watcher: Hears of runs with their definitions.
        """
        self.store = store
        self.workers = workers
        self.clock = clock
        self.boot_id = boot_id
        self.options = options or Options()
        self.stage = Stage.RUNNING
        self.tickers: list[Ticker] = []
        self._tell = tell
        self._reporter = Reporter(store, tell, tail, watcher)
        self._pending = _Pending()
        self._exit_code = ExitCode.OK
        self._asked: list[str] = []
        self._stage_ends: float | None = None
        self._look_outside: float | None = None
        self._leaves_results = False
        self._leaves_all = False

        def notice(level: str, message: str) -> None:
            self._reporter.notice(clock.now(), level, message)

        self._patience = Patience(store, clock, notice)
        self._steps = ClockSteps(store, clock, notice)
        self._zones = ZoneWatch(
            store, clock, lambda message: notice("info", message), is_alone=self.options.is_alone
        )
        self._began = clock.monotonic()
        self._life: int | None = None

    # The life

    def greet(self, database: str) -> None:
        """Say what has been taken over; possible before the workers are there."""
        totals = self.store.totals()
        now = self.clock.now()
        self._tell(
            events.SchedulerStarted(now, __version__, totals.jobs, self.options.slots, database, os.getpid())
        )

    def start(self) -> None:
        """Look after what an earlier scheduler left, and queue the start-up jobs."""
        now = self._steps.look()
        self.store.follow_clock_back(None, now=now)
        self._life = self.store.scheduler_started(
            pid=os.getpid(),
            boot_id=self.boot_id,
            version=__version__,
            slots=self.options.slots,
            now=now,
        )
        found = self.store.held()
        for held in found:
            self._recover(held, now)
        self.workers.tidy({held.claim.key for held in found})
        if self.options.fires:
            self._zones.start(now)
            self._reporter.announce(self.store.launch_startup(self.boot_id, now=now), now)

    def turn(self) -> bool:
        """Do all that can be done now; return whether this scheduler has come to its end."""
        now = self._steps.look()
        while self._asked:
            self._answer(self._asked.pop(0), now)
        # Before ends are written: their retries wait by the clock as it is now.
        if self._steps.are_pending:
            self._patience.attempt(self._steps.follow)
        self._take_reports(now)
        self._patience.attempt(lambda: self._work(now))
        if self._patience.is_lost and self.stage is Stage.RUNNING:
            self._exit_code = ExitCode.STORE
            self._drain(now)
        self._advance_stage(now)
        self._tick()
        return self.stage > Stage.RUNNING and self._is_free()

    def _is_free(self) -> bool:
        """Return whether nothing is left to wait for."""
        if self._leaves_all:
            return True
        if self._patience.is_lost or self._leaves_results:
            return not self.workers.in_hand()
        return self.workers.busy == 0 and not self._pending

    def sleep(self) -> set[int]:
        """Wait until there is something to do; return the watched descriptors that are readable."""
        return self.clock.wait(self._wake_at())

    def finish(self) -> ExitCode:
        """Tell the summary; return what the process should."""
        uptime_s = self.clock.monotonic() - self._began
        t = self._reporter.tally
        now = self.clock.now()
        if self._life is not None:
            with contextlib.suppress(StoreError):  # then it counts as killed, which explains as much
                self.store.scheduler_stopped(self._life, now=now)
        self._tell(events.SchedulerStopped(now, t.finished, t.succeeded, t.failed, uptime_s, t.cancelled))
        return self._exit_code

    def ask(self, signal_name: str) -> None:
        """Pass on a signal; safe in a signal handler, because the next turn acts on it, not this call."""
        self._asked.append(signal_name)

    def holds(self, key: AttemptKey) -> bool:
        """Return whether an attempt is in hand, or something of it waits to be written."""
        waiting = (*(end.key for end in self._pending.ends), *self._pending.recalled)
        return key in self.workers.in_hand() or key in waiting

    @property
    def is_in_trouble(self) -> bool:
        """Whether the store could not be used, and is tried again now and then."""
        return self._patience.is_in_trouble

    def notice(self, level: str, message: str) -> None:
        """Tell people something."""
        self._reporter.notice(self.clock.now(), level, message)

    def give_way(self, reason: str) -> None:
        """Leave at once, because another scheduler has taken the place of this one.

        What runs goes on: the workers finish it, and write the results themselves.
        """
        self._reporter.notice(
            self.clock.now(), "error", f"{reason}; this scheduler leaves, what runs goes on"
        )
        self._exit_code = ExitCode.CONFLICT
        self.stage = Stage.LEAVING
        self._leaves_all = True

    def _answer(self, signal_name: str, now: Micros) -> None:
        if signal_name == "SIGHUP":
            self._reporter.notice(now, "info", "SIGHUP is ignored: changes of jobs are seen at once anyway")
        elif self.stage is Stage.RUNNING:
            self._drain(now)
        elif self.stage < Stage.KILLING:
            self.stage = Stage.KILLING
            self._exit_code = ExitCode.INTERRUPTED
            self._stage_ends = self.clock.monotonic() + HURRIED_KILL_S
            self._stop_all("shutdown")

    def _drain(self, now: Micros) -> None:
        self.stage = Stage.DRAINING
        self.workers.recall()
        self._stage_ends = self.clock.monotonic() + self.options.drain_s
        running = tuple(f"{claim.run.job} #{claim.run.id}" for claim in self._reporter.in_hand())
        if running:
            self._tell(events.Stopping(now, running, self.options.drain_s))

    # One turn

    def _work(self, now: Micros) -> None:
        if self._pending and self._patience.is_in_trouble:
            # By themselves: results are what must not be lost, and there may be room for no more.
            self._write_results(now)
        told: set[tuple[int, int | None]] = set()
        while True:
            try:
                return self._do_what_is_due(now)
            except DefinitionUnreadable as error:
                if (error.job_id, error.run_id) in told:
                    raise
                told.add((error.job_id, error.run_id))
                self._reporter.notice(now, "error", set_aside_unreadable(self.store, error, now))

    def _do_what_is_due(self, now: Micros) -> None:
        if self.stage is Stage.RUNNING and self.options.fires:
            self._zones.look(now)
        results, self._pending = self._pending, _Pending()
        is_running = self.stage is Stage.RUNNING
        launched: list[Run] = []
        claims: list[Claim] = []
        try:
            # One commit for all of a turn: what a disk takes for it is most of what a run waits for.
            with self.store.together():
                after = self._record(results, now)
                if is_running:
                    launched = self._fire(now) if self.options.fires else []
                    self._look_at_those_outside(now)
                    claims = self._claim([end.key for end in results.ends], now)
        except BaseException:
            self._pending = results
            raise
        # Durable from here on: now workers may start, and people be told.
        self._settle(results, after, now)
        self._reporter.announce(launched, now)
        for claim in claims:
            self._reporter.take(claim)
            self.workers.assign(claim)
        for key, reason in self.store.stop_requests() if self.workers.busy else ():
            self.workers.stop(key, reason)
        if is_running:
            self._staff(now)
            if self.options.until_idle and self._is_idle(now):
                self._drain(now)

    def _take_reports(self, now: Micros) -> None:
        """Take the workers' reports; they stay pending until they are in the ledger."""
        for report in self.workers.poll():
            if isinstance(report, AttemptStart):
                self._pending.starts.append(report)
            elif isinstance(report, AttemptEnd):
                self._pending.ends.append(on_this_clock(report, now))
            elif isinstance(report, Recalled):
                self._pending.recalled.append(report.key)
            elif isinstance(report, Trouble):
                self._reporter.notice(now, report.level, report.message)
            else:
                run_id = report.key[0] if report.key else None
                self._tell(events.WorkerLost(now, report.worker, run_id, report.exit_code))
        if self._patience.is_lost or self._leaves_results:
            # What the workers hold they write themselves once this process is gone, or leave in a file.
            self._pending = _Pending()

    def _write_results(self, now: Micros) -> None:
        results = self._pending
        with self.store.together():
            after = self._record(results, now)
        self._pending = _Pending()
        self._settle(results, after, now)

    def _record(self, results: _Pending, now: Micros) -> list[Run]:
        if results.recalled:
            self.store.unclaim(results.recalled, now=now)
        return self.store.record(results.starts, results.ends) if results.starts or results.ends else []

    def _settle(self, results: _Pending, runs: list[Run], now: Micros) -> None:
        """Tell workers and people of results that are in the ledger."""
        # First the workers: what is told below may ask the store, which may refuse.
        self.workers.acknowledge([end.key for end in results.ends])
        for key in results.recalled:
            self._reporter.drop(key)
        for start in results.starts:
            self._reporter.started(start)
        after = {run.id: run for run in runs}
        for end in results.ends:
            self._reporter.ended(end, after.get(end.key[0]), now)

    def _fire(self, now: Micros) -> list[Run]:
        launches, rows = [], 0
        until = now if self.options.due_until is None else min(now, self.options.due_until)
        for due in self.store.due_jobs(until, limit=DUE_BATCH):
            launch = self._decide(due, until)
            if launch is not None:
                launches.append(launch)
                rows += len(launch.entries)
            if rows >= LAUNCH_BATCH:
                break
        if any(map(plan.has_lapsed, launches)) and self._zones.are_outdated():
            return []  # decided by data that are not in force any more: the next turn decides anew
        return self.store.launch(launches, now=now) if launches else []

    def _decide(self, due: DueJob, now: Micros) -> plan.Launch | None:
        # Outside: a store in trouble is no fault of the job.
        calendars = self.store.calendars() if due.job.definition.calendars else {}
        try:
            times = times_of(due.job, calendars)
            return plan.decide(due.job, times, due.active, now, placement_of(due.job))
        except CronqError as error:
            if isinstance(error, TimezoneError) and self._zones.are_outdated():
                return None  # the next turn may know the zone
            self._reporter.notice(now, "error", set_aside(self.store, due.job, error, now))
            return None

    def _claim(self, ended: list[AttemptKey], now: Micros) -> list[Claim]:
        idle, ahead = self.workers.idle(ended), self.workers.ahead()
        return self.store.claim(idle, self.boot_id, now=now, ahead=ahead) if idle or ahead else []

    def _staff(self, now: Micros) -> None:
        """Ask for as many further workers as there are runs that could start."""
        capacity = self.workers.capacity
        if capacity > 0:
            waiting = self.store.claimable(now, limit=min(capacity, WANTED_AT_ONCE))
            if waiting:
                self.workers.want(waiting)

    def _look_at_those_outside(self, now: Micros) -> None:
        """Give back what a killed `cronq lock` held, or waited for; nobody tells us when it dies.

        One that was stopped stands at the end of its line, or it would keep all behind it from a free lock.
        """
        if self._look_outside is not None and self.clock.monotonic() < self._look_outside:
            return
        outside = self.store.outside_holders(if_queued=True)
        for holder in outside:
            if not self.workers.has_outside(holder):
                self.store.release_locks(holder)
            elif self.workers.is_outside_stopped(holder):
                self.store.lose_place(holder, now=now)
        self._look_outside = self.clock.monotonic() + LOOK_OUTSIDE_S if outside else None

    def _is_idle(self, now: Micros) -> bool:
        if self.workers.busy or self._pending or self.store.has_work():
            return False
        due_at = self.store.next_wake(now)
        return due_at is None or due_at > now

    # Recovery

    def _recover(self, held: Held, now: Micros) -> None:
        """Look after a run that was running when an earlier scheduler ended (G4, G6)."""
        claim, attempt = held.claim, held.attempt
        if self.workers.adopt(held):
            self._reporter.take(claim, attempt.started_at)
            self._tell(events.RunAdopted(now, claim.run.job, claim.run.id, claim.run.attempt))
            return
        other_boot = attempt.boot_id != self.boot_id
        self._abandon(claim, "the machine was restarted" if other_boot else "exit status unknown", now)

    def abandon(self, claim: Claim, reason: str) -> None:
        """End an attempt that nobody looks after any more; written by the next turn."""
        self._abandon(claim, reason, self.clock.now())

    def _abandon(self, claim: Claim, reason: str, now: Micros) -> None:
        retry = plan.after_attempt(claim.definition, claim.run, Outcome.ABANDONED, now)
        end = AttemptEnd(
            claim.key, Outcome.ABANDONED, now, reason=reason, retry_at=retry.at, counts=retry.counts
        )
        self.conclude(claim, end)

    def conclude(self, claim: Claim, end: AttemptEnd) -> None:
        """End an attempt of which nobody else tells how it ended; written by the next turn."""
        self._reporter.take(claim)
        self._pending.ends.append(end)

    # The way out

    def _advance_stage(self, now: Micros) -> None:
        elapsed = self.clock.monotonic() - self._began
        if self.stage is Stage.RUNNING and self.options.for_s is not None and elapsed >= self.options.for_s:
            self._drain(now)
        if self._stage_ends is None or self.clock.monotonic() < self._stage_ends:
            return
        self._stage_ends = None
        if self.stage is Stage.DRAINING:
            self.stage = Stage.STOPPING
            self._stop_all("shutdown")
            self._stage_ends = self.clock.monotonic() + self._longest_ladder_s() + GIVE_UP_S
        elif self.stage < Stage.LEAVING:
            self.stage = Stage.LEAVING
            for key in self.workers.in_hand():
                self.workers.kill(key)
            self._stage_ends = self.clock.monotonic() + GIVE_UP_S
        else:
            for claim in self._reporter.in_hand():
                self._reporter.notice(now, "error", f"{claim.run.job} #{claim.run.id} could not be stopped")
            self._leaves_all = True
        if self._pending and self._patience.is_in_trouble:
            # Nobody may wait for ever.
            self._reporter.notice(now, "error", "leaving results to the workers: the store cannot be written")
            self._leaves_results = True

    def _longest_ladder_s(self) -> float:
        return max((claim.definition.kill_after_s for claim in self._reporter.in_hand()), default=0.0)

    def _stop_all(self, reason: str) -> None:
        keys = self.workers.in_hand()
        if keys:
            # First the ledger: a worker of an earlier scheduler hears a signal only, and asks there why.
            self._patience.attempt(lambda: self.store.ask_stops(keys, reason))
        for key in keys:
            self.workers.stop(key, reason)

    # Sleep

    def _wake_at(self) -> Micros:
        """Return the wall time of the next thing that has to be done without being asked."""
        now, monotonic = self.clock.now(), self.clock.monotonic()
        if self._pending and not self._patience.is_in_trouble:
            return now  # a ticker has found something that is to be written
        waits = [LOOK_ANYWAY_S, *(ticker.next_at - monotonic for ticker in self.tickers if ticker.wakes)]
        ends = [self.workers.deadline(), self._stage_ends, self._patience.retry_at, self._for_ends()]
        if self.stage is Stage.RUNNING:
            ends.append(self._look_outside)
        waits += [at - monotonic for at in ends if at is not None]
        # Rounded up: a microsecond too early would find nothing to do, and turn again at once.
        wake_at = now + math.ceil(max(0.0, min(waits)) * SECOND) + 1
        if self.stage is Stage.RUNNING and self.options.fires and self._patience.retry_at is None:
            due_at = self._next_wake(now)
            if due_at is not None:
                wake_at = min(wake_at, due_at)
        return wake_at

    def _next_wake(self, now: Micros) -> Micros | None:
        try:
            return self.store.next_wake(now)
        except StoreError:
            return None  # the next turn meets it again, and says so

    def _for_ends(self) -> float | None:
        if self.options.for_s is None or self.stage is not Stage.RUNNING:
            return None
        return self._began + self.options.for_s

    def _tick(self) -> None:
        monotonic = self.clock.monotonic()
        for ticker in self.tickers:
            if monotonic >= ticker.next_at:
                ticker.next_at = monotonic + ticker.every_s
                with contextlib.suppress(CronqError):  # it may want to show what the store cannot tell now
                    ticker.action(self)

    def snapshot(self) -> events.Snapshot:
        """Return the present state for a footer or a status line."""
        return self._reporter.snapshot(self.clock.now(), self.options.slots)
