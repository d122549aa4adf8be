"""A year of random jobs, random people and random misfortune; its dice decide everything in it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

from cronq import events
from cronq.cli._change import Change, change_jobs, skip_due
from cronq.cli._session import Session
from cronq.clock import datetime_from_us
from cronq.errors import IllegalTransition
from cronq.model import SECOND, CatchUp, Micros, Outcome, Overlap, State
from cronq.plan import Launch
from cronq.redefine import redefine
from cronq.rezone import FACT
from cronq.store import DueJob, JobChange, RunQuery
from cronq.timing import fire_times
from tests.simulation.witness import Witness
from tests.simulation.world import STORE_STEPS, WORKER_STEPS, Crash, Played, World, never

HOUR, DAY = 3_600, 86_400
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"),
    "Africa/Casablanca",
)
CALENDAR = "2026-01-01\n2026-02-16\n2026-05-01\n2026-08-03..2026-08-14\n2026-12-24\n2026-12-25\n"
TELLING = ("tell", "before")
KINDS = {
    TELLING,
    *((name, when) for name in (*STORE_STEPS, *WORKER_STEPS) for when in ("before", "after")),
}
"""The kinds of steps at which somebody may be killed: each transaction, each word to a worker, each event."""
DANGER = {
    "launch_startup": 20,
    "scheduler_started": 20,
    "follow_clock_back": 4,
    "set_fact": 4,
    "add_job": 10,
    "change_jobs": 20,
    "set_calendar": 4,
}
"""One in how many of the rarer steps is fatal; of the others it is one in `Year.danger`."""

_DEFAULT_DICE = random.Random(0)


@dataclass
class Year(World):
    """A world with a population."""

    dice: random.Random = _DEFAULT_DICE
    jobs: int = 10
    slots: int = 16
    danger: int = 1_000
    happened: Counter[str] = field(default_factory=Counter)
    passed: Counter[tuple[str, str]] = field(default_factory=Counter)
    crashed: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.witness = Witness(self.store, self.database)
        self.names: list[str] = []
        self.paused: set[str] = set()
        self.play = lambda _claim: self._played()
        self.fate = self._is_fatal
        self._numbers = 0
        # Some days ago, so that no step of the clock leads to before it.
        self.store.set_calendar("closed", CALENDAR, now=self.now - 30 * DAY * SECOND)
        self._populate()

    # The population

    def _populate(self) -> None:
        while len(self.names) < self.jobs:
            self._somebody(self._add)

    def _add(self) -> None:
        dice = self.dice
        self._numbers += 1
        name = f"job{self._numbers}"
        schedule, bounds = self._schedule()
        overlap = dice.choice(list(Overlap))
        try:
            self.add(
                name,
                schedule,
                through=self.mortal(),
                tz=dice.choice(ZONES),
                dst=dice.choice(["cron", "cron", "skip", "both"]),
                overlap=overlap,
                max_running=None if overlap is Overlap.ALLOW else dice.choice([1, 1, 2]),
                max_queued=dice.choice([1, 10]),
                catch_up=dice.choice(list(CatchUp)),
                catch_up_limit=dice.choice([2, 100]),
                catch_up_window_s=dice.choice([6.0 * HOUR, 7.0 * DAY]),
                grace_s=dice.choice([1.0, 60.0, 3600.0]),
                retries=dice.choice([0, 0, 3]),
                timeout_s=dice.choice([None, 600.0]),
                priority=dice.choice([0, 0, 5]),
                jitter=dice.choice([None, None, None, "5m", "random:20m"]),
                blackouts=dice.choice([(), (), ("mon-fri 09:00-11:00:defer",), ("01:30-03:30:drop",)]),
                calendars=dice.choice([(), (), (), ("closed:skip",), ("closed:next",)]),
                **bounds,
            )
        finally:
            if self._exists(name):
                self.names.append(name)
                self.witness.begins(self.store.job(name))

    def _schedule(self) -> tuple[str, dict[str, str | None]]:
        """Return a schedule and its bounds: most are rare, and those that are not last a few days."""
        dice = self.dice
        minute, hour = dice.randrange(60), dice.choice([0, 1, 2, 2, 3, 6, 12, 23])
        day = dice.randrange(1, 300)
        bounds: dict[str, str | None] = {"valid_from": None, "valid_until": None}
        if dice.random() < 0.05:
            bounds = {"valid_from": self._date(day), "valid_until": self._date(day + dice.randrange(5, 20))}
            return dice.choice(["*/15 * * * *", "*/30 * * * *", "every 20m"]), bounds
        kinds = {
            dice.choice([f"{minute} {hour} * * *", "H H * * *", "@daily"]): 34,
            f"{minute} {hour} * * 1-5": 8,
            f"{minute} {hour} * * {dice.randrange(7)}": 20,
            f"{minute} {hour} {dice.choice([1, 15, 28, 31])} * *": 14,
            dice.choice([f"{minute} */6 * * *", f"{minute} */12 * * *", "every 8h"]): 12,
            f"{minute} 9 * * mon ; 0 17 * * fri": 4,
            f"at {self._date(day)}T{hour:02}:{minute:02}": 1,
            "@reboot": 2,
        }
        return dice.choices(list(kinds), list(kinds.values()))[0], bounds

    def _date(self, days: int) -> str:
        return f"{datetime_from_us(self.clock.wall + days * DAY * SECOND):%Y-%m-%d}"

    def _played(self) -> Played:
        seconds = self.dice.choice([0.1, 2, 20, 20, 45, 60, 200, 200, 4_000])
        if self.dice.random() < 0.005:
            seconds = 20_000
        return Played(seconds, self.dice.choice([Outcome.SUCCESS] * 6 + [Outcome.FAILURE]))

    # Life

    def live(self, days: int) -> None:
        """Go through so many days, a fortnight's outage among them; then let what is left come to its end."""
        begin = self.clock.elapsed
        end = begin + days * DAY * SECOND
        fortnight = begin + round(self.dice.uniform(0.3, 0.6) * (end - begin))
        self.clock.after(0, self._people)
        while self.clock.elapsed < end:
            self.run_until(self.clock.wall + round(self.dice.uniform(0.01, 6 * DAY) * SECOND))
            self.witness.nothing_is_overdue(self.clock.wall)
            if self.dice.random() < 0.2:
                self._reboot()
            down_s = self.dice.uniform(60, self.dice.choices([HOUR, 20 * HOUR, 5 * DAY], [80, 15, 5])[0])
            if begin < fortnight < self.clock.elapsed:
                fortnight, down_s = begin, 14.0 * DAY
            self.happened["outage"] += 1
            self.be_down_until(self.clock.wall + round(down_s * SECOND))
        self.fate = never
        for name in sorted(self.paused):
            self._resume(name)
        self.run_until(self.clock.wall + 3 * DAY * SECOND, until_idle=True)
        self.witness.nothing_is_overdue(self.clock.wall)
        self.witness.everything_is_done()

    def _reboot(self) -> None:
        self.happened["reboot"] += 1
        self.lose_power()

    def _is_fatal(self, name: str, when: str) -> bool:
        kind = (name, when)
        self.passed[kind] += 1
        # The second step of a kind always is, so that none goes unproved.
        fatal = self.passed[kind] == 2 or self.dice.random() * DANGER.get(name, self.danger) < 1
        self.crashed[kind] += fatal
        return fatal

    def tell(self, event: events.Event) -> None:
        self.seen("tell")
        self.happened[type(event).__name__] += 1
        if self.fate(*TELLING):
            raise Crash("before an event was told")

    def seen(self, step: str) -> None:
        if self.database.in_transaction:
            return  # it may still come to nothing
        self.witness.look(self.clock.wall)
        if step == "change_jobs":
            self.witness.look_at_watermarks()

    # People

    def _people(self) -> None:
        """Somebody does something now, and somebody else some hours later; then the clock goes on."""
        if self.fate is never:
            return
        deeds = {
            self._step_clock: 4,
            self._pause: 6,
            self._resume_one: 8,
            self._edit: 8,
            self._remove: 2,
            self._trigger: 5,
            self._cancel: 9,
            self._retry: 5,
            self._change_zone_data: 1,
            self._store_calendar: 4,
        }
        deed = self.dice.choices(list(deeds), list(deeds.values()))[0]
        self.happened[deed.__name__.strip("_")] += 1
        self._somebody(deed)
        self._populate()
        self.clock.after(self.dice.uniform(0, 16 * HOUR), self._people)

    def _somebody(self, deed: Callable[[], object]) -> None:
        """Let a command run, which may be killed like anything else."""
        try:
            deed()
        except Crash:
            self.happened["killed command"] += 1

    def _step_clock(self) -> None:
        self.clock.step(self.dice.choice([-DAY, -HOUR, -HOUR, -60, -1, 1, 60, HOUR, HOUR, DAY]))

    def _trigger(self) -> None:
        self.mortal().trigger([self.dice.choice(self.names)], now=self.clock.wall)

    def _cancel(self) -> None:
        found = self.store.runs(RunQuery(state=self.dice.choice([State.QUEUED, State.RUNNING])))
        if found:
            self.mortal().cancel(self.dice.choice(found)[0].id, reason="cancelled", now=self.clock.wall)

    def _retry(self) -> None:
        for run, _ in self.store.runs(RunQuery((self.dice.choice(self.names),), limit=1)):
            try:
                self.mortal().retry([run.id], now=self.clock.wall)
            except IllegalTransition:
                assert run.state is not State.DONE

    def _change_zone_data(self) -> None:
        """The next scheduler finds other zone data than the last."""
        self.store.set_fact(FACT, "2020a")

    def _store_calendar(self) -> None:
        self.mortal().set_calendar("closed", CALENDAR, now=self.clock.wall)

    # Changes of jobs, by the code of the commands

    def _pause(self) -> None:
        name = self.dice.choice(self.names)
        self.paused.add(name)
        self._change(name, lambda _, launch, now: JobChange(launch, paused_at=now))

    def _resume_one(self) -> None:
        if self.paused:
            self._resume(self.dice.choice(sorted(self.paused)))

    def _resume(self, name: str) -> None:
        self._change(name, lambda _due, launch, _now: JobChange(launch))
        self.paused.discard(name)

    def _edit(self) -> None:
        schedule, bounds = self._schedule()
        before = self.store.job(self.dice.choice(self.names))
        settled: list[Micros | None] = []

        def edit(due: DueJob, launch: Launch, now: Micros) -> JobChange:
            settled.append(launch.next_fire_at)
            definition = due.job.definition._replace(schedule=schedule, **bounds)  # type: ignore[arg-type]
            times = fire_times(definition, due.job.name, self.store.calendars())
            return redefine(due, launch, definition, times, due.since(now))

        try:
            self._change(before.name, edit)
        finally:
            after = self.store.job(before.name)
            if after.revision > before.revision:
                self.witness.ends(before, settled[-1])
                self.witness.begins(after)

    def _remove(self) -> None:
        job = self.store.job(self.dice.choice(self.names))
        settled: list[Micros | None] = []

        def remove(due: DueJob, _: Launch, now: Micros) -> JobChange:
            launch = skip_due(due, now, "removed", self.store.calendars())
            settled.append(launch.next_fire_at)
            return JobChange(launch._replace(next_fire_at=None), removed=True)

        try:
            self._change(job.name, remove)
        finally:
            if not self._exists(job.name):
                self.names.remove(job.name)
                self.paused.discard(job.name)
                self.witness.ends(job, settled[-1])

    def _change(self, name: str, change: Change) -> None:
        person = SimpleNamespace(environment=SimpleNamespace(now=self.clock.now), ring=lambda: None)
        change_jobs(cast("Session", person), self.mortal(), [name], change)

    def _exists(self, name: str) -> bool:
        return any(overview.job.name == name for overview in self.store.overviews(recent=0))
