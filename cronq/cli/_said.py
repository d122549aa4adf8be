"""Sentences that several commands say: the next run, and that nobody is there to run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.render.text import plain
from cronq.render.times import offset_change, relative, wall

if TYPE_CHECKING:
    from cronq.cli._schedules import Times
    from cronq.cli._session import Session
    from cronq.model import Job


def next_run(session: Session, job: Job) -> str:
    """Return `next run in 11h (Tue 02:00 Europe/Berlin)`."""
    if job.paused_at is not None:
        return "paused"
    if job.next_fire_at is None:
        return "runs at the start of the scheduler"
    now = session.started_at
    tz = session.tz(job.definition.tz)
    zone = session.shown_zone(tz)
    when = relative(job.next_fire_at, now, zone)
    moment = wall(job.next_fire_at, now, zone)
    change = offset_change(job.next_fire_at, now, zone)
    text = f"{moment} {tz}" if moment.startswith(when) else f"{when} ({moment} {tz})"
    return f"next run {text} {change}".rstrip()


def tell_layers(session: Session, job: Job, times: Times) -> None:
    """Say the sentence about a job's fire times, if there is more to them than its schedule."""
    from cronq.cli._schedules import is_layered, sentence_of

    if is_layered(job.definition):
        session.line(f"  {plain(sentence_of(times, job.definition))}")


def zone_label(session: Session, tz: str) -> str:
    """Return the zone of a schedule, and the one its times are shown in if that is another."""
    shown = session.tz(tz)
    return tz if shown == tz else f"{tz}; times in {shown}"


def hint_about_scheduler(session: Session) -> None:
    """Say so if no scheduler is there to act on what was just done."""
    if session.options.quiet or session.options.json:
        return
    if not session.is_scheduler_alive():
        session.hint("no scheduler is running; start one with `cronq run`")


def answer_changes(
    session: Session, verb: str, changed: list[tuple[Job, Job]], jobs: list[Job], *, already: str
) -> None:
    """Say of each job what became of it: changed, or so already."""
    from cronq.cli._documents import job_document

    names = {after.name for _, after in changed}
    if session.options.json:
        session.json({"jobs": [job_document(job) | {"changed": job.name in names} for job in jobs]})
        return
    for job in jobs:
        if session.options.quiet:
            session.line(job.name)
        elif job.name not in names:
            session.line(f"{job.name} {already}")
        elif job.paused_at is not None:
            session.line(f"{verb} {job.name}")
        else:
            session.line(f"{verb} {job.name} · {next_run(session, job)}")


def confirm(session: Session, question: str) -> bool:
    """Ask a person; only an explicit yes is one.

    Raises:
        UsageError: Nobody is there to answer.
    """
    from cronq.errors import UsageError

    environment = session.environment
    if not environment.can_ask or environment.stdin is None:
        raise UsageError(f"cannot ask: {question}", hint="give --yes; nothing was changed")
    session.terminal.err.write(f"{question} [y/N] ")
    session.terminal.err.flush()
    return environment.stdin.readline().strip().lower() in {"y", "yes"}
