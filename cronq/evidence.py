"""Gathering what `cronq why` explains: a job's past, the rows around a fire time, and how things are now."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cronq.audit import Reign, reigns
from cronq.clock import datetime_from_us
from cronq.errors import CronqError
from cronq.model import SECOND, Definition, Micros, Run
from cronq.proof import calendars_at, eras_of, texts_of
from cronq.schedule import Arrangement, Schedule
from cronq.store import Store
from cronq.store.base import Past
from cronq.timing import fire_times, placement_of
from cronq.why.facts import Facts, InForce, Present, Recorded
from cronq.why.past import ready_at

_FAR = 25 * 366 * 86_400 * SECOND
"""Nobody asks about fire times further ahead."""

Changes = Callable[[Definition, Definition], Sequence[str]]
"""Says what differs between two definitions, a line each."""


def past_named(store: Store, name: str, at: Micros | None) -> Past:
    """Return the past of the job of that name: of several namesakes, the one that was there then.

    Raises:
        JobNotFound: There is no such job, and never was.
        DefinitionUnreadable: Its definition is not one that cronq wrote.
    """
    pasts = [store.past(job_id) for job_id in store.ever([name])]
    pasts.sort(key=lambda past: (past.job.removed_at is None, past.job.removed_at or 0), reverse=True)
    for past in pasts if at is not None else ():
        if at is not None and past.job.created_at < at <= (past.job.removed_at or at):
            return past
    return pasts[0]


def gather(
    store: Store, past: Past, at: Micros | None, now: Micros, *, alive: bool, changes: Changes
) -> Facts:
    """Return all that explains a fire time.

    Args:
        store: Only read; call it within `Store.reading`.
        past: Of the job.
        at: The instant in question; None: the newest fire time.
        now: Wall time.
        alive: Whether a scheduler runs.
        changes: Says what differs between two definitions.
    """
    rules = _Rules(store, past, changes)
    job = past.job
    present = _present(store, past, now, alive=alive)
    facts = Facts(
        *(job, now, present),
        at_startup=rules.at_startup,
        is_computable=rules.is_computable,
        pruned_before=past.pruned_before,
    )
    if at is None:
        run, fire_at = _newest(store, past, rules, now)
    else:
        before, after = rules.before(at), rules.after(at)
        fire_at = at if rules.names(at) else _nearer(at, before, after)
        run = None if fire_at is None else store.row_at(job.id, fire_at)
        facts = facts._replace(asked_at=at, before=before, after=after, in_force_then=rules.at(at))
    facts = facts._replace(fire_at=fire_at, in_force=None if fire_at is None else rules.at(fire_at))
    return facts if run is None else facts._replace(recorded=_recorded(store, facts, run))


def _newest(store: Store, past: Past, rules: _Rules, now: Micros) -> tuple[Run | None, Micros | None]:
    """Return the row of the newest fire time, and that; one that is due and undecided has no row yet."""
    mark = past.job.next_fire_at
    if mark is not None and mark <= now:
        return None, rules.before(now + 1)
    if past.last_fire_at is None:
        return store.newest_run(past.job.id), None
    return store.row_at(past.job.id, past.last_fire_at), past.last_fire_at


def _nearer(at: Micros, before: Micros | None, after: Micros | None) -> Micros | None:
    if before is None or after is None:
        return after if before is None else before
    return before if at - before <= after - at else after


def _recorded(store: Store, facts: Facts, run: Run) -> Recorded:
    attempts = store.run(run.id).attempts
    row = Recorded(run, attempts, facts.fire_at)
    since = run.queued_at if facts.fire_at is None else facts.fire_at
    following = None if run.last_fire_at is None else store.row_after(run.job_id, run.last_fire_at)
    begin = ready_at(facts, row) if attempts else run.queued_at
    return row._replace(
        others=tuple(store.bystanders(run.id, begin)),
        lives=tuple(store.lives(since, max(since, run.queued_at))),
        successor=following,
    )


def _present(store: Store, past: Past, now: Micros, *, alive: bool) -> Present:
    active = tuple(store.active_runs(past.job.id))
    mine = {run.id for run in active}
    held_by = []
    for lock in store.lock_states(now) if active and past.job.definition.locks else ():
        if any(user.run_id in mine for user in lock.waiting):
            holders = [u.label if u.run_id is None else f"{u.label} #{u.run_id}" for u in lock.holders]
            held_by.append((lock.name, ", ".join(holders) or "nobody yet"))
    lives = store.lives(now, now)
    last_life = lives[-1] if lives else None
    return Present(alive, active, tuple(held_by), store.totals().running, last_life)


class _Rules:
    """Which definition was in force when, and the fire times that they gave."""

    def __init__(self, store: Store, past: Past, changes: Changes) -> None:
        self._past = past
        self._changes = changes
        self._texts = texts_of(store, past)
        self._eras = eras_of(past, self._texts)
        job = past.job
        end = (job.removed_at or job.created_at + 4 * _FAR) + 1
        self._reigns = list(reigns(self._eras, job.created_at, end))

    @property
    def at_startup(self) -> bool:
        """Whether a start of the scheduler is a fire time, too."""
        times = self._eras[-1].times
        return isinstance(times, Schedule | Arrangement) and times.at_startup

    @property
    def is_computable(self) -> bool:
        """Whether the present schedule can be computed."""
        return self._eras[-1].times is not None

    def _reign_at(self, at: Micros) -> Reign | None:
        return next((one for one in self._reigns if one.low < at <= one.until), None)

    def names(self, at: Micros) -> bool:
        """Return whether an instant is a fire time."""
        reign = self._reign_at(at)
        return reign is not None and reign.era.times is not None and reign.era.times.next_us(at - 1) == at

    def before(self, at: Micros) -> Micros | None:
        """Return the last fire time before an instant."""
        for era, low, until in reversed(self._reigns):
            if low < at and era.times is not None:
                found = era.times.prev_us(min(at, until + 1))
                if found is not None and found > low:
                    return found
        return None

    def after(self, at: Micros) -> Micros | None:
        """Return the first fire time after an instant."""
        for era, low, until in self._reigns:
            if until > at and era.times is not None:
                found = era.times.next_us(max(at, low))
                if found is not None and found <= until:
                    return found
        return None

    def at(self, at: Micros) -> InForce | None:
        """Return the definition in force at an instant."""
        reign = self._reign_at(at)
        if reign is None:
            return None
        era = reign.era
        index = next(i for i, one in enumerate(self._past.revisions) if one.revision == era.revision)
        definition = self._past.revisions[index].definition
        is_last = index + 1 == len(self._past.revisions)
        following = None if is_last else self._past.revisions[index + 1].definition
        changes = tuple(self._changes(definition, following)) if definition and following else ()
        until = None if is_last else reign.until
        if definition is None or era.times is None:
            return InForce(
                *(era.revision, era.since, until, definition, None, None, None, lambda _: ""), changes
            )
        job = self._past.job._replace(definition=definition)
        times = fire_times(definition, job.name, calendars_at(self._texts, era.since))
        try:
            placement = placement_of(job)
        except CronqError:
            placement = None
        bare = times if isinstance(times, Schedule) else times.schedule

        def note(fire_at: Micros) -> str:
            return times.notes_at(datetime_from_us(fire_at)) or ""

        return InForce(*(era.revision, era.since, until, definition, times, bare, placement, note), changes)
