"""For people's own tests: a file of jobs on a virtual clock, where no command is ever executed.

The fixture `cronq` of `cronq.pytest_plugin` makes these worlds; anything else may, too.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, tzinfo
from functools import wraps
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from cronq.cli._applying import apply_file
from cronq.cli._change import change_jobs
from cronq.cli._errors import error_lines, errors_in
from cronq.cli._files import read_alone
from cronq.cli._session import Session
from cronq.cli._terminal import Environment
from cronq.clock import datetime_from_us, us_from_datetime
from cronq.errors import CronqError, UsageError
from cronq.model import SECOND, Claim, Micros, Outcome, Run, Trigger
from cronq.plan import Launch
from cronq.schedule.duration import parse_duration
from cronq.schedule.instant import parse_instant
from cronq.schedule.zones import zone
from cronq.store import DueJob, JobChange, RunQuery
from cronq.virtual.workers import Played
from cronq.virtual.world import VirtualWorld

_ALL = 1_000_000_000
_WIDTH = 100
_FILE = "cronq.toml"
"""What a text is called in errors."""


class CannotPlay(Exception):
    """What a test asked for cannot be done; the text is what the command line would say."""


P = ParamSpec("P")
R = TypeVar("R")


def _in_words(method: Callable[P, R]) -> Callable[P, R]:
    """Turn errors into what the command line says of them; pytest shows the line of the test."""

    @wraps(method)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        __tracebackhide__ = True
        try:
            return method(*args, **kwargs)
        except CronqError as error:
            lines = [line for one in errors_in(error) for line in error_lines(one, _WIDTH)]
            raise CannotPlay("\n".join(lines)) from None

    return told


class PlayedRun(NamedTuple):
    """A row of the ledger: a run, or fire times that were skipped or missed.

    Attributes:
        job: Its name.
        outcome: `success`, `failure`, `timeout`, `cancelled`, `abandoned`, `skipped` or `missed`; None as
            long as it waits or runs.
        reason: Why, where there is more to say.
        trigger: `schedule`, `catch_up`, `manual` or `startup`.
        fire_at: When it was due, in the zone of the world; None: it was not made by a schedule.
        fire_count: How many fire times this row accounts for; over 1 only if skipped or missed.
        started_at: When its first attempt was started; None: none was.
        finished_at: When it was done.
        attempts: How many there were.
    """

    job: str
    outcome: str | None
    reason: str
    trigger: str
    fire_at: datetime | None
    fire_count: int
    started_at: datetime | None
    finished_at: datetime | None
    attempts: int

    @property
    def lag(self) -> timedelta | None:
        """From the fire time to the start; None where one of them is missing."""
        if self.fire_at is None or self.started_at is None:
            return None
        # Both in UTC: within one zone, Python subtracts what the clocks on the wall show.
        return _utc(self.started_at) - _utc(self.fire_at)


class _Part(NamedTuple):
    """What the command of a job does; of several exit codes, one an attempt, the last one repeats."""

    seconds: float
    exit_codes: tuple[int, ...]


class World:
    """The jobs of a file, the real scheduler and ledger, a clock that jumps, and commands that are played.

    Every command takes a second and succeeds, unless `plays` says otherwise.
    """

    @_in_words
    def __init__(
        self,
        file: str | os.PathLike[str],
        *,
        at: str | datetime,
        folder: Path,
        tz: str | None = None,
        workers: int = 32,
    ) -> None:
        """Make the world, and apply the file to it.

        Args:
            file: Its path, or its text, which has more than one line.
            at: When it begins: `2026-03-29T00:00 Europe/Berlin`, or an aware datetime.
            folder: For its database; empty.
            tz: The zone of its machine; by default that of `at`, else UTC.
            workers: Runs at a time.

        Raises:
            CannotPlay: All that is wrong with the file, or with what was asked.
        """
        self._tz, now = _begin(at, tz)
        self._zone: tzinfo = zone(self._tz)
        self._parts: dict[str, _Part] = {}
        self._down: list[tuple[Micros, Micros, bool]] = []
        self._world = VirtualWorld(folder, now, self._play, slots=workers)
        try:
            path = _written(file, folder)
            self._session = self._session_in(path.absolute().parent)
            read = read_alone(self._session, path, calendars={})
            apply_file(self._session, self._world.store, read, prune=False)
        except BaseException:
            self._world.close()
            raise

    @property
    def now(self) -> datetime:
        """The time, in the zone of the world."""
        return self._local(self._world.clock.wall)

    @_in_words
    def plays(
        self, job: str, *, takes: str | timedelta | None = None, exit_code: int | Sequence[int] | None = None
    ) -> None:
        """Say what the command of a job does from now on.

        Args:
            job: Its name.
            takes: How long it takes, as `5m`; longer than its timeout, and it ends so. Default: 1s.
            exit_code: How it ends; of several, one for each attempt, the last one repeats. Default: 0.

        Raises:
            CannotPlay: There is no such job, or the duration cannot be read.
        """
        self._world.store.job(job)
        before = self._parts.get(job, _Part(1.0, (0,)))
        codes = before.exit_codes
        if exit_code is not None:
            codes = (exit_code,) if isinstance(exit_code, int) else tuple(exit_code)
            if not codes:
                raise UsageError("exit_code: there is none", hint="write exit_code=1, or exit_code=[1, 0]")
        self._parts[job] = _Part(before.seconds if takes is None else _seconds(takes), codes)

    @_in_words
    def down(self, start: str | datetime, end: str | datetime, *, machine: bool = False) -> None:
        """Let there be no scheduler in a time to come.

        Args:
            start: As of `run_until`.
            end: Likewise; a time of day is the first one after `start`.
            machine: The machine is off, too: what runs is killed, and the boot is another one afterwards.

        Raises:
            CannotPlay: An instant cannot be read, lies in the past, or the end is not after the start.
        """
        first = self._instant(start, self._world.clock.wall)
        last = self._instant(end, first)
        if first < self._world.clock.wall:
            raise UsageError(f"down: {start} has passed; it is {self.now:%Y-%m-%d %H:%M}")
        if last <= first:
            raise UsageError(f"down: {end} is not after {start}")
        for known_first, known_last, _ in self._down:
            if first < known_last and known_first < last:
                raise UsageError("down: two such times overlap", hint="make them one")
        self._down = sorted([*self._down, (first, last, machine)])

    @_in_words
    def run_until(self, end: str | datetime) -> None:
        """Let time pass up to an instant, with a scheduler but for the times that `down` named.

        A fire time at that very instant is still to come.

        Args:
            end: `2026-03-29T12:00` (in the zone of the world), `12:00` (the next one), or an aware datetime.

        Raises:
            CannotPlay: It cannot be read, or has passed.
        """
        wall = self._instant(end, self._world.clock.wall)
        if wall < self._world.clock.wall:
            raise UsageError(f"run_until: {end} has passed; it is {self.now:%Y-%m-%d %H:%M}")
        self._pass(wall)

    @_in_words
    def run_for(self, span: str | timedelta) -> None:
        """Let so much time pass, as `run_until` does; `2h`, `1d`. Raises: CannotPlay."""
        wall = self._world.clock.wall + round(_seconds(span) * SECOND)
        self._pass(wall)

    @_in_words
    def runs(self, job: str | None = None) -> list[PlayedRun]:
        """Return the rows of a job, or of all, the earliest first. Raises: CannotPlay: no such job."""
        query = RunQuery(() if job is None else (job,), limit=_ALL)
        found = [run for run, _ in self._world.store.runs(query)]
        return [self._shown(run) for run in sorted(found, key=lambda run: (run.logical_at, run.id))]

    @_in_words
    def trigger(self, *jobs: str) -> None:
        """Queue a run of each job now, as `cronq trigger` does. Raises: CannotPlay."""
        self._world.store.trigger(jobs, now=self._world.clock.wall)

    @_in_words
    def pause(self, *jobs: str) -> None:
        """Stop jobs from firing, as `cronq pause` does. Raises: CannotPlay."""

        def paused(_due: DueJob, launch: Launch, now: Micros) -> JobChange:
            return JobChange(launch, paused_at=now)

        change_jobs(self._session, self._world.store, jobs, paused)

    @_in_words
    def resume(self, *jobs: str) -> None:
        """Let paused jobs fire again, as `cronq resume` does. Raises: CannotPlay."""
        change_jobs(self._session, self._world.store, jobs, lambda _due, launch, _now: JobChange(launch))

    def close(self) -> None:
        """End this world."""
        self._world.close()

    # Inside

    def _pass(self, wall: Micros) -> None:
        world = self._world
        while world.clock.wall < wall:
            first, last, machine = next(
                (one for one in self._down if one[1] > world.clock.wall), (wall, wall, False)
            )
            if first > world.clock.wall:
                world.run_until(min(first, wall))
                continue
            if machine and first == world.clock.wall:
                world.lose_power()
            world.be_down_until(min(last, wall))

    def _play(self, claim: Claim) -> Played:
        seconds, codes = self._parts.get(claim.run.job, _Part(1.0, (0,)))
        code = codes[min(claim.run.attempt, len(codes)) - 1]
        outcome = Outcome.SUCCESS if code in claim.definition.success_codes else Outcome.FAILURE
        return Played(seconds, outcome, code)

    def _shown(self, run: Run) -> PlayedRun:
        return PlayedRun(
            run.job,
            None if run.outcome is None else run.outcome.value,
            run.reason,
            Trigger(run.trigger).value,
            self._maybe_local(run.fire_at),
            run.fire_count,
            self._maybe_local(run.started_at),
            self._maybe_local(run.finished_at),
            run.attempt,
        )

    def _local(self, at: Micros) -> datetime:
        return datetime_from_us(at).astimezone(self._zone)

    def _maybe_local(self, at: Micros | None) -> datetime | None:
        return None if at is None else self._local(at)

    def _instant(self, when: str | datetime, now: Micros) -> Micros:
        if isinstance(when, datetime):
            return us_from_datetime(_aware(when))
        return us_from_datetime(parse_instant(when, tz=self._tz, now=datetime_from_us(now)))

    def _session_in(self, folder: Path) -> Session:
        """Return a session as on a machine of this zone and time, which has nothing of this one."""
        environ = {"HOME": str(folder), "PATH": os.defpath, "USER": "nobody", "LANG": "C.UTF-8"}
        environment = Environment(
            None,
            io.StringIO(),
            io.StringIO(),
            environ,
            cwd=lambda: folder,
            now=lambda: self._world.clock.wall,
            monotonic=lambda: self._world.clock.monotonic(),
            local_zone=lambda: self._tz,
        )
        session = Session(environment)
        session.__dict__["place"] = self._world.place
        session.fields = {"no_check": True}  # programs need not exist where nothing is executed
        return session


def _begin(at: str | datetime, tz: str | None) -> tuple[str, Micros]:
    """Return the zone of a world, and when it begins."""
    if isinstance(at, datetime):
        return tz or getattr(at.tzinfo, "key", None) or "UTC", us_from_datetime(_aware(at))
    when, _, named = at.strip().rpartition(" ")
    if not named[:1].isalpha() or not when:
        when, named = at, ""
    name = tz or named or "UTC"
    zone(name)
    beginning = datetime_from_us(0)
    return name, us_from_datetime(parse_instant(when, tz=name, now=beginning))


def _aware(when: datetime) -> datetime:
    if when.tzinfo is None:
        raise UsageError(f"the datetime {when.isoformat()} has no zone", hint="give it a tzinfo")
    return when


def _written(file: str | os.PathLike[str], folder: Path) -> Path:
    if isinstance(file, str) and "\n" in file:
        path = folder / _FILE
        path.write_text(file, encoding="utf-8")
        return path
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"there is no file {path}", hint="`cronq export` writes one")
    return path


def _seconds(span: str | timedelta) -> float:
    seconds = span.total_seconds() if isinstance(span, timedelta) else parse_duration(span)
    if seconds < 0:
        raise UsageError(f"a duration cannot be negative: {span}")
    return seconds


def _utc(at: datetime) -> datetime:
    return datetime_from_us(us_from_datetime(at))
