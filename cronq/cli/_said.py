"""Sentences that several commands say: the next run, and that nobody is there to run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.render.times import offset_change, relative, wall

if TYPE_CHECKING:
    from cronq.cli._session import Session
    from cronq.model import Job


def next_run(session: Session, job: Job) -> str:
    """Return `next run in 11h (Tue 02:00 Europe/Berlin)`."""
    if job.paused_at is not None:
        return "paused"
    if job.next_fire_at is None:
        return "runs at the start of the scheduler"
    now = session.started_at
    tz = session.options.tz or job.definition.tz
    zone = session.shown_zone(tz)
    when = relative(job.next_fire_at, now, zone)
    moment = wall(job.next_fire_at, now, zone)
    change = offset_change(job.next_fire_at, now, zone)
    return f"next run {when} ({moment} {tz})" + (f" {change}" if change else "")


def hint_about_scheduler(session: Session) -> None:
    """Say so if no scheduler is there to act on what was just done."""
    from cronq.lock import is_held

    if not is_held(session.place.lock):
        session.hint("no scheduler is running; start one with `cronq run`")
