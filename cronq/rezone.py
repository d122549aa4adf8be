"""When the zone data change, so do fire times: watermarks that the old data gave are computed again.

Only those in the future are. A watermark that is due already is a lower bound for the planner, which asks the
schedule again; and what the ledger accounts for stays as it happened.
"""

from __future__ import annotations

from cronq.clock import datetime_from_us
from cronq.errors import CronqError
from cronq.model import Job, Micros
from cronq.plan import Launch
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
            told += [line for job in jobs if (line := _renew(store, job, now, f"{before} → {version}"))]
            jobs = store.scheduled_jobs(after=jobs[-1].name, limit=PAGE)
    store.set_fact(FACT, version)
    return told


def _renew(store: Store, job: Job, now: Micros, data: str) -> str:
    if job.next_fire_at is None or job.next_fire_at <= now:
        return ""
    try:
        (due,) = store.due([job.name])
        next_fire_at = times_of(job, store.calendars()).next_us(due.since(now))
    except CronqError:
        return ""  # the scheduler sets such a job aside when it falls due, and says why
    if next_fire_at == job.next_fire_at:
        return ""
    change = JobChange(Launch(job, (), next_fire_at), paused_at=job.paused_at)
    if store.change_jobs([change], now=now) is None:
        return ""  # somebody changed it just now, with the new data
    moved_to = "never" if next_fire_at is None else f"{datetime_from_us(next_fire_at):%Y-%m-%d %H:%M} UTC"
    moved_from = f"{datetime_from_us(job.next_fire_at):%Y-%m-%d %H:%M} UTC"
    return f"{job.name}: next run moved from {moved_from} to {moved_to} (zone data {data})"
