"""`cronq add`: define a job."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.cli._change import change_jobs
from cronq.cli._definition import check_future, check_name, draft_from, take_layers, warn_about
from cronq.cli._documents import defined_document
from cronq.cli._fields import DefiningCommand
from cronq.cli._said import hint_about_scheduler, next_run, tell_layers
from cronq.cli._schedules import NO_CALENDARS, known_calendars, one_schedule, read_future_schedule
from cronq.cli._session import Session
from cronq.errors import CronqError, InvariantError, JobExists, TimezoneError, UsageError
from cronq.model import Command, CommandKind, Definition, Job, Micros
from cronq.named_locks import LockWish
from cronq.plan import Launch
from cronq.redefine import redefine, zone_data
from cronq.store import DueJob, JobChange, NewJob, Store
from cronq.timing import fire_times

if TYPE_CHECKING:
    from cronq.cli._schedules import Times

USAGE = "add NAME SCHEDULE [options] -- COMMAND [ARG...]"
EXAMPLES = (
    "cronq add hello 'every 1m' -- echo hi",
    "cronq add backup '0 2 * * *' --tz Europe/Berlin --retries 2 -- rsync -a src dst",
)


COMMAND_CLASS = DefiningCommand


def command(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="NAME SCHEDULE", show_default=False)] = None,
    replace_job: Annotated[
        bool, typer.Option("--replace", help="If there is a job of that name, redefine all of it.")
    ] = False,
    paused: Annotated[bool, typer.Option("--paused", help="Add it, but do not let it fire yet.")] = False,
) -> int:
    """Define a job: a name, a schedule, and a command.

    The command follows `--` and is executed as it stands, without a shell. Working directory and PATH are
    recorded; no other variable is, unless you say so. The schedule is computed in the zone of --tz
    (default: this machine's), which is recorded by its name.
    """
    session = Session.of(ctx)
    given = list(words or [])
    definition, times, locks = _read(session, given)
    name = given[0]
    new = NewJob(
        *(name, definition, times.next_us(session.started_at), times.at_startup),
        tzdata=zone_data(definition),
        locks=locks,
    )
    if session.fields.get("dry_run"):
        job = Job(0, name, 1, definition, session.started_at, session.started_at, new.next_fire_at)
        _answer(session, job, times, "would add")
        return 0
    job, verb = _store(session, new, times, replace_job=replace_job, paused=paused)
    _answer(session, job, times, verb)
    hint_about_scheduler(session)
    return 0


def _read(session: Session, given: list[str]) -> tuple[Definition, Times, tuple[LockWish, ...]]:
    """Check everything that was asked for, before anything is touched."""
    if not given:
        raise UsageError("there is no name", hint=f"usage: cronq {USAGE}")
    name = given[0]
    wrong_name = check_name(name)
    after = " -- …" if session.argv is None else f" -- {shlex.join(session.argv)}"
    before = f"cronq add {'NAME' if wrong_name else name}"
    # The schedule before all else: if the shell expanded a `*`, every other complaint would mislead.
    text = one_schedule(given[1:], before=before, after=after, cwd=session.environment.cwd())
    tz = session.tz()
    draft = draft_from(session, base=None)
    schedule = None
    try:
        dst = str(draft.values.get("dst", "cron"))
        schedule = read_future_schedule(text, tz=tz, name=name, dst=dst, now=session.started_at)
    except CronqError as error:
        draft.problems.insert(0, error)
    calendars = known_calendars(session) if session.fields.get("calendars") else NO_CALENDARS
    zone = tz if schedule or not isinstance(draft.problems[0], TimezoneError) else None
    take_layers(draft, session, tz=zone, now=session.started_at, calendars=calendars)
    if wrong_name:
        draft.problems.insert(0, wrong_name)
    draft.values["schedule"] = schedule.text if schedule else ""
    nothing = Command(CommandKind.ARGV, ("true",))  # only stands in while other problems are collected
    definition = draft.over(Definition(nothing, schedule.text if schedule else "", tz=tz))
    if schedule is None:
        raise InvariantError("a schedule was neither read nor refused")
    times = fire_times(definition, name, calendars)
    check_future(times, definition, session.started_at)
    warn_about(session, times, definition, draft)
    return definition, times, draft.locks


def _store(
    session: Session, new: NewJob, times: Times, *, replace_job: bool, paused: bool
) -> tuple[Job, str]:
    with session.made_store() as store:
        try:
            # The instant from which its first fire time was computed: its life begins there.
            now = session.started_at
            job = store.add_job(new._replace(paused_at=now if paused else None), now=now)
            session.ring()
            return job, "added"
        except JobExists:
            if not replace_job:
                raise
        return _replaced(session, store, new, times, paused=paused), "replaced"


def _replaced(session: Session, store: Store, new: NewJob, times: Times, *, paused: bool) -> Job:
    def replace(due: DueJob, launch: Launch, now: Micros) -> JobChange:
        change = redefine(due, launch, new.definition, times, due.since(now))
        return change._replace(paused_at=now if paused else None, locks=new.locks)

    ((_, after),) = change_jobs(session, store, [new.name], replace)
    return after


def _answer(session: Session, job: Job, times: Times, verb: str) -> None:
    if session.options.json:
        session.json({"job": defined_document(job, times)})
    elif session.options.quiet:
        session.line(job.name)
    else:
        session.line(f"{verb} {job.name} · {next_run(session, job)}")
        tell_layers(session, job, times)
