"""Setting a job aside that cannot be worked with, so that the others go on."""

from __future__ import annotations

from cronq.errors import CronqError, DefinitionUnreadable
from cronq.model import Job, Micros
from cronq.plan import Launch
from cronq.store import JobChange, Store


def set_aside(store: Store, job: Job, error: CronqError, now: Micros) -> str:
    """Pause a job whose schedule cannot be computed (its zone left the zone data, say); return what to tell.

    Its watermark stays, so nothing is lost.
    """
    store.change_jobs([JobChange(Launch(job, (), job.next_fire_at), paused_at=now)], now=now)
    return f"{job.name}: paused, its schedule cannot be computed: {error}"


def set_aside_unreadable(store: Store, error: DefinitionUnreadable, now: Micros) -> str:
    """Pause a job whose definition cannot be read, or end the run that is of it; return what to tell."""
    store.set_aside_unreadable(error, now=now)
    what = f"{error.job}: paused" if error.run_id is None else f"{error.job} #{error.run_id}: not started"
    return f"{what}, {error.message}"
