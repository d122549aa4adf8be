"""Proving the ledger of a job: what was in force, beside what is recorded, and rows beside one another.

`cronq.audit` compares; here its inputs are put together from the store, and what can be told without any
schedule is added. Nothing is written, and nothing that is read has to fit into memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from cronq.audit import Difference, Era, Recorded, differences
from cronq.clock import datetime_from_us
from cronq.errors import CronqError
from cronq.model import SECOND, Job, Micros
from cronq.schedule.zones import tzdata_version
from cronq.store import Store
from cronq.store.base import CalendarText, Past, Revision, Tries
from cronq.timing import calendar_names, fire_times

MOST = 1000
"""Differences of one job that are kept; further ones are counted."""

OVERDUE_US = 300 * SECOND
"""A live scheduler accounts for a fire time within a blink; after this it does not do so any more."""

_ALWAYS = -(2**62)


class Contradiction(NamedTuple):
    """Rows that cannot all be true.

    Attributes:
        run_id: Of the run that it is about; None: it is about the job.
    """

    text: str
    run_id: int | None = None


class Proof(NamedTuple):
    """What became of proving one job.

    Attributes:
        accounted: How many fire times are accounted for, by outcome (or state, if a run is not done).
        differences: Between the definitions and the rows, at most `MOST`.
        unproven: Such as rest on rules that are not those of now, at most `MOST`.
        contradictions: Between rows.
        more: How many differences there are beyond those that are kept.
        since: Fire times before this were not looked at.
        pruned_before: Fire times before this may have been removed by retention; None: none has.
    """

    job: Job
    accounted: Mapping[str, int]
    differences: tuple[Difference, ...]
    unproven: tuple[Difference, ...]
    contradictions: tuple[Contradiction, ...]
    more: int = 0
    since: Micros = 0
    pruned_before: Micros | None = None

    @property
    def fire_times(self) -> int:
        """How many fire times are accounted for."""
        return sum(self.accounted.values())

    @property
    def total(self) -> int:
        """How many differences there are, of all kinds that are proven."""
        return len(self.differences) + len(self.contradictions) + self.more


def prove(
    store: Store, job_id: int, now: Micros, *, since: Micros | None = None, alive_since: Micros | None = None
) -> Proof:
    """Compare what a job's definitions say with what is recorded.

    Args:
        store: Only read, in one transaction.
        job_id: Of the job, which may be removed.
        now: Wall time.
        since: Only look at fire times at or after this, and at runs queued since then.
        alive_since: Since when the scheduler that lives now does; None: there is none.

    Raises:
        JobNotFound: There is no such job.
        DefinitionUnreadable: Its definition is not one that cronq wrote.
    """
    with store.reading():
        past = store.past(job_id)
        begin = max(at for at in (past.job.created_at, past.pruned_before, since) if at is not None)
        # Nothing was due yet at the instant in which it was added.
        start = begin if begin == past.job.created_at else begin - 1
        accounted: Counter[str] = Counter()
        recorded = _tallied(store.recorded(job_id, start), accounted)
        eras = eras_of(past, texts_of(store, past))
        known, unproven, more = list[Difference](), list[Difference](), 0
        for one in differences(eras, recorded, start, _end(past, now)):
            kept = known if one.is_certain else unproven
            if len(kept) < MOST:
                kept.append(one)
            elif one.is_certain:
                more += 1
        queued_since = _ALWAYS if since is None else since
        contradictions = [
            *_about_job(past.job, now, alive_since),
            *_about_revisions(past),
            *_about_retention(past),
            *map(_said, store.misfits(job_id, queued_since)),
            *_about_exits(store, past, queued_since),
        ]
        return Proof(
            *(past.job, accounted, tuple(known), tuple(unproven), tuple(contradictions), more),
            since=begin,
            pruned_before=past.pruned_before,
        )


def _end(past: Past, now: Micros) -> Micros:
    """Return the instant before which every fire time has to be there."""
    job = past.job
    if job.next_fire_at is not None:
        return job.next_fire_at
    # Without a watermark there is nothing more to come: all is accounted for until the end, or until now.
    # If the clock was set back, that is later than it seems.
    until = now if job.removed_at is None else job.removed_at
    return max(until, until if past.last_fire_at is None else past.last_fire_at) + 1


def texts_of(store: Store, past: Past) -> list[CalendarText]:
    """Return every text that the calendars of a job ever had."""
    definitions = [one.definition for one in past.revisions if one.definition is not None]
    return store.calendar_texts(sorted(set[str]().union(*map(calendar_names, definitions))))


def eras_of(past: Past, texts: Sequence[CalendarText]) -> list[Era]:
    """Return when which fire times were in force, given `texts_of` the job."""
    present = tzdata_version().version
    return [_era(past.job.name, revision, texts, present) for revision in past.revisions]


def _era(name: str, revision: Revision, texts: Sequence[CalendarText], present: str) -> Era:
    definition = revision.definition
    if definition is None:
        return Era(revision.revision, revision.since, None, is_certain=False)
    # What another version of the zone data would say about UTC is the same.
    is_certain = definition.tz == "UTC" or revision.tzdata == present
    try:
        times = fire_times(definition, name, calendars_at(texts, revision.since))
    except CronqError:
        return Era(revision.revision, revision.since, None, is_certain=False)
    return Era(revision.revision, revision.since, times, is_certain)


def calendars_at(texts: Sequence[CalendarText], at: Micros) -> dict[str, str]:
    """Return the texts of calendars that were in force at an instant; `texts` are oldest first."""
    found = {one.name: one.text for one in texts if one.since <= at}
    return {name: text for name, text in found.items() if text is not None}


def _tallied(rows: Iterator[Recorded], accounted: Counter[str]) -> Iterator[Recorded]:
    for row in rows:
        accounted[row.became] += row.fire_count
        yield row


def _about_job(job: Job, now: Micros, alive_since: Micros | None) -> Iterator[Contradiction]:
    mark = job.next_fire_at
    if alive_since is None or mark is None or job.paused_at is not None:
        return
    if max(mark, alive_since) < now - OVERDUE_US:
        behind_s = (now - mark) // SECOND
        yield Contradiction(
            f"a scheduler is running, and due fire times are not accounted for since {behind_s}s"
        )


def _about_revisions(past: Past) -> Iterator[Contradiction]:
    """Yield what is wrong with the definitions by themselves.

    None is ever removed, and the first is as old as the job.
    """
    there = {one.revision for one in past.revisions}
    lost = [number for number in range(1, past.job.revision) if number not in there]
    if lost:
        more = f", and {len(lost) - 1:,} more" if lost[1:] else ""
        yield Contradiction(f"its definition of revision {lost[0]} is not there{more}")
    elif past.revisions[0].since != past.job.created_at:
        since, created = (datetime_from_us(at) for at in (past.revisions[0].since, past.job.created_at))
        yield Contradiction(f"its first definition is of {since}, and the job of {created}")
    for one in past.revisions:
        if one.definition is None:
            yield Contradiction(f"the definition of revision {one.revision} cannot be read")


def _about_retention(past: Past) -> Iterator[Contradiction]:
    """Yield a removal that retention never does: the newest fire time stays, as long as the job is there.

    Whether what is before it was removed by retention or by somebody else, nobody can tell.
    """
    before, last = past.pruned_before, past.last_fire_at
    if before is not None and past.job.removed_at is None and (last is None or last < before):
        yield Contradiction(f"no fire time is recorded since it was pruned up to {datetime_from_us(before)}")


def _about_exits(store: Store, past: Past, since: Micros) -> Iterator[Contradiction]:
    """Yield which attempts ended otherwise than the definition of then makes of their exit codes.

    A definition that cannot be read says nothing about exit codes.
    """
    meant: dict[tuple[int, ...], list[int]] = {}
    for one in past.revisions:
        if one.definition is not None:
            meant.setdefault(one.definition.success_codes, []).append(one.revision)
    for codes, revisions in meant.items():
        for row in store.misjudged(past.job.id, since, revisions, codes):
            means = "success" if row.exit_code in codes else "no success"
            text = (
                f"attempt {row.attempt} is {row.outcome} with exit code {row.exit_code}, which means {means}"
            )
            yield Contradiction(f"{text} in revision {row.revision}", row.run_id)


def _said(tries: Tries) -> Contradiction:
    """Return what is wrong with a run and its attempts."""
    t = tries
    if t.is_forsaken:
        text = "it is queued, and its job is removed"
    elif t.rows != t.attempt or t.newest != t.attempt:
        text = f"{t.rows} of its attempts are recorded, up to number {t.newest}; it had {t.attempt}"
    elif t.open_rows:
        text = f"it is {t.became}, and {t.open_rows} of its attempts have no end"
    elif t.last_outcome == "success" and t.last_exit_code is None:
        text = "its last attempt succeeded without an exit code"
    else:
        text = f"it is {t.became}, and its last attempt is {t.last_outcome or 'not recorded'}"
    return Contradiction(text, t.run_id)
