"""Hours that are the same as an hour before need not be lived through again.

What a scheduler does in an hour follows from two things alone: what is queued and running when it begins, and
which fire times it holds, both counted from its beginning. Commands take as long as ever, and nothing else
tells one hour from another. So the hours of a year are as many as there are different ones.

What would tell two such hours apart is left out of this: random jitter, blackouts (which name days of the
week), retries (whose jitter is a hash of the run's number), and runs that are just being stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from cronq.model import SECOND, Claim, Job, Micros, Run, State
from cronq.plan import FireTimes
from cronq.virtual.clock import Window
from cronq.virtual.life import Life, Player, Rules
from cronq.virtual.workers import Running

HOUR: Micros = 3_600 * SECOND
DAY: Micros = 24 * HOUR

MOST = 4_000_000
"""Numbers that may be held of hours that are known by heart: some hundred megabytes."""

Key = tuple[object, ...]


class Part(Protocol):
    """What was counted in a part of the time."""

    def add(self, part: object, shifts: Sequence[Micros]) -> None:
        """Count another part once for each shift of its time, the earliest first."""

    def size(self) -> int:
        """Return how many numbers it holds, about."""


class Summing(Player, Part, Protocol):
    """A player whose account of an hour can be counted again."""

    def cut(self) -> Part:
        """Return what was counted since the last cut, and begin to count anew."""

    def resume(
        self, running: Mapping[int, tuple[str, Micros]], last_fire_at: Mapping[str, Micros | None]
    ) -> None:
        """Go on with other running runs: number, job and start of their attempts."""


class _Present(NamedTuple):
    """All that is queued and running at an instant, from which all instants are counted."""

    runs: tuple[Run, ...]
    running: tuple[Running, ...]

    def key(self) -> Key:
        """Return what tells it from others, as far as it matters for what is to come."""
        claims = tuple(
            (one.claim.run.id, one.claim.run.attempt, one.started_at, one.ending) for one in self.running
        )
        return (tuple(run._replace(worker=None) for run in self.runs), claims)


class _Hour(NamedTuple):
    """An hour that was lived through.

    Attributes:
        part: What was counted in it.
        after: What is present at its end.
        again: The hours that were the same, as shifts of its time.
    """

    origin: Micros
    part: Part
    after: _Present
    again: list[Micros]


class Repeating:
    """Lives through a period hour by hour, and through each kind of hour once."""

    def __init__(self, rules: Rules, player: Summing) -> None:
        self._rules = rules
        self._player = player
        self._hours: dict[Key, _Hour] = {}
        self._size = 0
        self._asked_at = 0
        self._ahead: list[Key] = []
        self._firing = [job for job in rules.jobs if job.paused_at is None]
        self._is_steady = not any(_is_moody(job) for job in self._firing)

    def live(self, period: Window) -> tuple[Life, int]:
        """Live through it; return the life at its end, and how many hours were known."""
        total = self._player.cut()
        life: Life | None = Life(self._rules, self._player, period.start)
        present: _Present | None = None
        at, known = period.start, 0
        while at < period.end:
            until = min(at + HOUR, period.end)
            key = None
            if self._is_steady and until - at == HOUR and at > period.start:
                if life is not None:
                    present = self._present_of(life, at)
                if present is not None:
                    key = (present.key(), self._pattern(at))
            hour = self._hours.get(key) if key is not None else None
            if hour is not None:
                known += 1
                hour.again.append(at - hour.origin)
                life, present = None, hour.after
            else:
                if life is None:
                    assert present is not None
                    life = self._life_from(present, at)
                life.live_until(until)
                part = self._player.cut()
                total.add(part, [0])
                if key is not None and (after := self._present_of(life, until)) is not None:
                    self._remember(key, _Hour(at, part, after, []), total)
            at = until
        for hour in self._hours.values():
            total.add(hour.part, hour.again)
        self._player.add(total, [0])
        if life is None:
            assert present is not None
            life = self._life_from(present, at)
        return life, known

    def _remember(self, key: Key, hour: _Hour, total: Part) -> None:
        """Know an hour by heart; where none is like another, forget the oldest ones, or there is no end."""
        self._hours[key] = hour
        self._size += hour.part.size()
        while self._size > MOST and len(self._hours) > 1:
            oldest = self._hours.pop(next(iter(self._hours)))
            self._size -= oldest.part.size()
            total.add(oldest.part, oldest.again)

    def _pattern(self, at: Micros) -> Key:
        """Return the fire times of an hour: jobs and times from its beginning; a day is asked for at once."""
        if not self._ahead or not self._asked_at <= at < self._asked_at + DAY:
            self._asked_at = at
            hours: list[list[object]] = [[] for _ in range(DAY // HOUR)]
            for job in self._firing:
                number = job.id
                for fire_at in self._rules.times[number].iter_us(at, at + DAY):
                    hour, offset = divmod(fire_at - at, HOUR)
                    hours[hour].append((number, offset))
            self._ahead = [tuple(hour) for hour in hours]
        return self._ahead[(at - self._asked_at) // HOUR]

    def _present_of(self, life: Life, at: Micros) -> _Present | None:
        """Return what is queued and running; None: a run is just being stopped."""
        active = life.memory.active
        if any(run.stop_reason is not None for run in active):
            return None
        numbers = {run.id: number for number, run in enumerate(active, 1)}
        runs = tuple(_moved(run, -at)._replace(id=numbers[run.id]) for run in active)
        by_number = {run.id: run for run in runs}
        running = tuple(
            Running(
                one.claim._replace(
                    run=_moved(one.claim.run, -at)._replace(id=numbers[one.claim.run.id]),
                    claimed_at=one.claim.claimed_at - at,
                    last_success_at=None,
                ),
                one.started_at - at,
                one.ending,
            )
            for one in life.workers.running()
            if numbers[one.claim.run.id] in by_number
        )
        return _Present(runs, running)

    def _life_from(self, present: _Present, at: Micros) -> Life:
        """Return a life in the midst of which this is present."""
        times = self._rules.times
        jobs = [job._replace(next_fire_at=times[job.id].next_us(at - 1)) for job in self._rules.jobs]
        life = Life(self._rules, self._player, at, jobs)
        workers = life.workers.idle()
        running = [
            Running(_claim(one.claim, at, worker), one.started_at + at, one.ending)
            for one, worker in zip(present.running, workers, strict=False)
        ]
        held = {one.claim.run.id: one.claim.worker for one in running}
        runs = [_moved(run, at)._replace(worker=held.get(run.id)) for run in present.runs]
        self._player.resume(
            {one.claim.run.id: (one.claim.run.job, one.started_at) for one in running},
            {job.name: _last(times[job.id], at, job) for job in self._firing},
        )
        life.go_on(runs, running)
        return life


def _is_moody(job: Job) -> bool:
    """Return whether something else than its fire times tells one hour of a job from another."""
    definition = job.definition
    is_random = definition.jitter is not None and definition.jitter.startswith("random")
    return bool(definition.blackouts) or is_random


def _last(times: FireTimes, at: Micros, job: Job) -> Micros | None:
    last = times.prev_us(at)
    return last if last is not None and last >= job.created_at else None


def _claim(claim: Claim, by: Micros, worker: str) -> Claim:
    run = _moved(claim.run, by)._replace(worker=worker)
    return claim._replace(run=run, worker=worker, claimed_at=claim.claimed_at + by)


def _moved(run: Run, by: Micros) -> Run:
    """Return a run at another time."""
    assert run.state is not State.DONE
    return run._replace(
        logical_at=run.logical_at + by,
        queued_at=run.queued_at + by,
        available_at=run.available_at + by,
        fire_at=None if run.fire_at is None else run.fire_at + by,
        last_fire_at=None if run.last_fire_at is None else run.last_fire_at + by,
        started_at=None if run.started_at is None else run.started_at + by,
    )
