"""What came of a simulated period: counted as it happens, because the runs themselves are not kept."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from cronq.model import SECOND, AttemptEnd, Claim, Micros, Outcome, Overlap, Run, State
from cronq.plan import Active, Fire, Launch, Passed
from cronq.virtual.clock import Window
from cronq.virtual.workers import Play, Played

MINUTE = 60 * SECOND
_LONG, _SHORT = 10 * SECOND, SECOND // 1000
REPLACED = "overlap: replaced by the next fire time"
"""Reason under which runs that were replaced are counted; theirs name the run, and no two are alike."""


class Clash(NamedTuple):
    """A fire time that came while a run of its job was active.

    Attributes:
        since: Fire time of the newest of those runs; None: they were made by hand, or at the start.
    """

    at: Micros
    job: str
    since: Micros | None
    policy: Overlap


class Busy(NamedTuple):
    """A minute.

    Attributes:
        starts: Attempts started in it.
        running: The most that ran at once after one of these starts.
    """

    at: Micros
    starts: int
    running: int


class JobAccount:
    """What came of one job.

    Attributes:
        fire_times: That the ledger accounts for.
        ran: Runs that were started.
        retried: Attempts beyond the first of each run.
        became: Runs that are done after at least one attempt, by outcome.
        skipped: Fire times, and queued runs that were replaced, by reason.
        missed: Fire times by reason.
        waits: From each fire time to its start, microseconds: how often each. Long ones are kept to the
            second, short ones to the millisecond, so that a year of them has room.
        longest: The longest of them, as it was.
        busy: Microseconds that its attempts took, together.
        clashes: Fire times that came while a run of it was active.
    """

    __slots__ = (
        *("became", "busy", "clashes", "fire_times", "last_fire_at", "longest", "missed", "name", "ran"),
        *("retried", "skipped", "waits"),
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.fire_times = 0
        self.ran = 0
        self.retried = 0
        self.clashes = 0
        self.busy: Micros = 0
        self.became: Counter[Outcome] = Counter()
        self.skipped: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        self.waits: Counter[Micros] = Counter()
        self.longest: Micros | None = None
        self.last_fire_at: Micros | None = None

    def median_wait(self) -> Micros | None:
        """Return what half of its starts waited at most; None: nothing started."""
        middle = (self.waits.total() + 1) // 2
        for wait, count in sorted(self.waits.items()):
            middle -= count
            if middle <= 0:
                return wait
        return None

    def add(self, other: JobAccount, times: int) -> None:
        """Count what another one counted, so many times."""
        self.fire_times += other.fire_times * times
        self.ran += other.ran * times
        self.retried += other.retried * times
        self.clashes += other.clashes * times
        self.busy += other.busy * times
        if other.longest is not None:
            self.longest = max(other.longest, self.longest or 0)
        for mine, its in (
            (self.became, other.became),
            (self.skipped, other.skipped),
            (self.missed, other.missed),
            (self.waits, other.waits),
        ):
            for key, count in its.items():
                mine[key] += count * times  # type: ignore[index]

    @property
    def is_of_use(self) -> bool:
        """Whether anything was counted."""
        return bool(self.fire_times or self.ran or self.became or self.busy or self.retried or self.skipped)

    def waited(self, wait: Micros) -> None:
        """Count a wait."""
        grain = SECOND if wait >= _LONG else _SHORT
        self.waits[wait // grain * grain] += 1
        if self.longest is None or wait > self.longest:
            self.longest = wait


class DownAccount:
    """What a time without a scheduler did to the fire times in it.

    Attributes:
        late: Fire times of it that were run after all.
        longest_wait: Of these.
        skipped: Fire times that were skipped.
        missed: Fire times that were missed.
    """

    def __init__(self, window: Window) -> None:
        self.window = window
        self.late = 0
        self.skipped = 0
        self.missed = 0
        self.longest_wait: Micros = 0

    @property
    def fire_times(self) -> int:
        """How many fell into it; what waits at the end of the simulation is not counted."""
        return self.late + self.skipped + self.missed


Painter = Callable[[str, Micros, Micros, str], None]
"""Takes marks for a picture: job, start, end, and `ok`, `failed`, `running` or `skipped`."""


class Account:
    """`cronq.virtual.simulation.Player` that counts.

    Attributes:
        jobs: By name.
        clash: The first fire time that came while a run of its job was active.
        peak: The first instant at which the most ran at once, and how many.
    """

    def __init__(
        self, names: Iterable[str], play: Play, down: Sequence[Window] = (), paint: Painter | None = None
    ) -> None:
        """Open the account.

        Args:
            names: The jobs.
            play: Says what their commands do.
            down: Times without a scheduler, ascending.
            paint: Is given what belongs into a picture.
        """
        self.jobs = {name: JobAccount(name) for name in names}
        self.down = [DownAccount(window) for window in down]
        self.clash: Clash | None = None
        self.peak = (0, 0)
        self._play = play
        self._paint = paint
        self._down_starts = [window.start for window in down]
        self._starts: Counter[int] = Counter()
        self._most: dict[int, int] = {}
        self._running: dict[int, tuple[str, Micros]] = {}

    def play(self, claim: Claim, now: Micros) -> Played:
        """Count a start; return what its process does."""
        run = claim.run
        account = self.jobs[run.job]
        running = self._running
        running[run.id] = (run.job, now)
        minute = now // MINUTE
        self._starts[minute] += 1
        if len(running) > self._most.get(minute, 0):
            self._most[minute] = len(running)
            if len(running) > self.peak[1]:
                self.peak = (now, len(running))
        if run.attempt > 1:
            account.retried += 1
            return self._play(claim)
        account.ran += 1
        if run.fire_at is not None:
            account.waited(now - run.fire_at)
            if self.down and (down := self._down_at(run.fire_at)):
                down.late += 1
                down.longest_wait = max(down.longest_wait, now - run.fire_at)
        return self._play(claim)

    def launched(self, launch: Launch, active: Active, runs: Sequence[Run]) -> None:
        """Count fire times."""
        account = self.jobs[launch.job.name]
        if active.total and launch.entries:
            self._clashed(account, launch)
        for run in runs:
            if run.fire_at is None:
                continue
            account.fire_times += run.fire_count
            account.last_fire_at = run.last_fire_at
            if run.state is State.DONE:
                self._passed(account, run)

    def ended(self, claim: Claim, end: AttemptEnd, after: Run) -> None:
        """Count an attempt that ended, and its run if it is done."""
        job, since = self._running.pop(claim.run.id)
        account = self.jobs[job]
        account.busy += end.finished_at - since
        if after.outcome is not None:
            account.became[after.outcome] += 1
        if self._paint is not None:
            ok = end.outcome in {Outcome.SUCCESS, Outcome.CANCELLED}
            self._paint(job, since, end.finished_at, "ok" if ok else "failed")

    def cancelled(self, run: Run) -> None:
        """Count a queued run that was replaced."""
        account = self.jobs[run.job]
        if run.attempt:
            account.became[Outcome.CANCELLED] += 1
            return
        account.skipped[REPLACED] += 1
        if run.fire_at is not None and (down := self._down_at(run.fire_at)):
            down.skipped += 1

    # For simulations that know their hours by heart: see `cronq.virtual.repeats`

    def cut(self) -> Account:
        """Return what was counted since the last cut, and begin to count anew."""
        part = Account((), self._play)
        part.jobs = {name: one for name, one in self.jobs.items() if one.is_of_use}
        for name, account in part.jobs.items():
            self.jobs[name] = JobAccount(name)
            self.jobs[name].last_fire_at = account.last_fire_at
        part.clash, self.clash = self.clash, None
        part.peak, self.peak = self.peak, (0, 0)
        part._starts, self._starts = self._starts, Counter()
        part._most, self._most = self._most, {}
        return part

    def add(self, part: object, shifts: Sequence[Micros]) -> None:
        """Count a part once for each shift of its time: full minutes, ascending."""
        assert isinstance(part, Account)
        if not shifts:
            return
        for name, account in part.jobs.items():
            if name not in self.jobs:
                self.jobs[name] = JobAccount(name)
            self.jobs[name].add(account, len(shifts))
        if part.clash is not None:
            clash = part.clash
            since = None if clash.since is None else clash.since + shifts[0]
            clash = clash._replace(at=clash.at + shifts[0], since=since)
            self.clash = clash if self.clash is None else min(self.clash, clash, key=lambda one: one.at)
        peak = (part.peak[0] + shifts[0], part.peak[1])
        self.peak = max(self.peak, peak, key=lambda one: (one[1], -one[0]))
        for shift in shifts:
            minutes = shift // MINUTE
            for minute, count in part._starts.items():
                self._starts[minute + minutes] += count
            for minute, count in part._most.items():
                self._most[minute + minutes] = max(count, self._most.get(minute + minutes, 0))

    def size(self) -> int:
        """Return how many numbers it holds, about."""
        return len(self._starts) * 2 + sum(10 + len(one.waits) for one in self.jobs.values())

    def resume(
        self, running: Mapping[int, tuple[str, Micros]], last_fire_at: Mapping[str, Micros | None]
    ) -> None:
        """Go on with other running runs: number, job and start of their attempts."""
        self._running = dict(running)
        for name, at in last_fire_at.items():
            self.jobs[name].last_fire_at = at

    # The end

    def close(self, end: Micros) -> int:
        """Count what still runs at the end of the period; return how many runs that are."""
        for job, since in self._running.values():
            self.jobs[job].busy += end - since
            if self._paint is not None:
                self._paint(job, since, end, "running")
        return len(self._running)

    def busiest(self, most: int) -> list[Busy]:
        """Return the minutes with the most starts, the busiest first, the earlier of equals first."""
        found = sorted(self._starts.items(), key=lambda one: (-one[1], one[0]))[:most]
        return [Busy(minute * MINUTE, starts, self._most[minute]) for minute, starts in found]

    def _clashed(self, account: JobAccount, launch: Launch) -> None:
        first = launch.entries[0]
        late = isinstance(first, Passed) and first.outcome is Outcome.MISSED
        account.clashes += not late
        if self.clash is None and not late:
            at = first.fire_at if isinstance(first, Fire) else first.first_fire_at
            self.clash = Clash(at, account.name, account.last_fire_at, launch.job.definition.overlap)

    def _passed(self, account: JobAccount, run: Run) -> None:
        first, last = run.logical_at, run.last_fire_at or run.logical_at
        is_skip = run.outcome is Outcome.SKIPPED
        (account.skipped if is_skip else account.missed)[run.reason] += run.fire_count
        if self._paint is not None:
            self._paint(account.name, first, last, "skipped")
        if self.down and (down := self._down_at(first)):
            if is_skip:
                down.skipped += run.fire_count
            else:
                down.missed += run.fire_count

    def _down_at(self, at: Micros) -> DownAccount | None:
        index = bisect_right(self._down_starts, at) - 1
        return self.down[index] if index >= 0 and at < self.down[index].window.end else None
