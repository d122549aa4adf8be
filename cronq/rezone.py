"""When the zone data change, so do fire times: watermarks that the old data gave are computed again.

Only those in the future are. A watermark that is due already is a lower bound for the planner, which asks the
schedule again; and what the ledger accounts for stays as it happened. Every job that lives in a zone gets a
new revision, which remembers the data that it is computed with.
"""

from __future__ import annotations

from collections.abc import Mapping

from cronq.clock import datetime_from_us
from cronq.errors import CronqError
from cronq.model import Job, Micros
from cronq.plan import Launch
from cronq.redefine import redefine
from cronq.schedule.zones import tzdata_version
from cronq.store import JobChange, Store
from cronq.timing import times_of

FACT = "tzdata"
PAGE = 500


def follow_zone_data(store: Store, now: Micros, version: str | None = None) -> list[str]:
    """Renew the watermarks if the zone data are not those that computed them.

    Args:
        store: Of a scheduler that holds the lock.
        now: Wall time.
        version: Of the data in use, as `2026f`; by default asked of `cronq.schedule.zones`.

    Returns:
        What moved, a line a job; empty if nothing did.
    """
    version = tzdata_version().version if version is None else version
    before = store.fact(FACT)
    if before == version:
        return []
    told = []
    if before is not None:
        jobs = store.scheduled_jobs(limit=PAGE)
        while jobs:
            told += _renew(store, jobs, now, version, f"{before} → {version}")
            jobs = store.scheduled_jobs(after=jobs[-1].name, limit=PAGE)
    store.set_fact(FACT, version)
    return told


def _renew(store: Store, jobs: list[Job], now: Micros, version: str, data: str) -> list[str]:
    """Put the new data in force for these jobs; return what moved."""
    calendars = store.calendars()
    changes = [c for job in jobs if (c := _changed(store, job, now, version, calendars)) is not None]
    if not changes:
        return []
    if store.change_jobs(changes, now=now) is None:
        # Somebody changed one of them just now, with the new data; the others one by one.
        changes = [change for change in changes if store.change_jobs([change], now=now) is not None]
    return [line for change in changes if (line := _told(change.settled, data))]


def _changed(
    store: Store, job: Job, now: Micros, version: str, calendars: Mapping[str, str]
) -> JobChange | None:
    if job.next_fire_at is None or job.definition.tz == "UTC":
        return None
    try:
        (due,) = store.due([job.name])
        times = times_of(job, calendars)
    except CronqError:
        return None  # the scheduler sets such a job aside when it falls due, and says why
    unsettled = Launch(job, (), job.next_fire_at)
    if job.next_fire_at > now:
        change = redefine(due, unsettled, job.definition, times, due.since(now))
    else:
        change = redefine(due, unsettled, job.definition, times, job.next_fire_at - 1)
        change = change._replace(settled=unsettled)
    return change._replace(tzdata=version)


def _told(settled: Launch, data: str) -> str:
    before, after = settled.job.next_fire_at, settled.next_fire_at
    if before is None or before == after:
        return ""
    moved_to = "never" if after is None else f"{datetime_from_us(after):%Y-%m-%d %H:%M} UTC"
    moved_from = f"{datetime_from_us(before):%Y-%m-%d %H:%M} UTC"
    return f"{settled.job.name}: next run moved from {moved_from} to {moved_to} (zone data {data})"
