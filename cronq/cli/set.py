"""`cronq set`: change a job's definition, and say what was changed and how to undo it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.cli._change import change_jobs, settle
from cronq.cli._definition import FIRING, Draft, check_future, draft_from, take_layers, warn_about
from cronq.cli._documents import defined_document
from cronq.cli._fields import DefiningCommand
from cronq.cli._said import hint_about_scheduler, next_run, tell_layers
from cronq.cli._schedules import (
    NO_CALENDARS,
    calendars_for,
    one_schedule,
    read_future_schedule,
    times_of,
)
from cronq.cli._session import Session
from cronq.cli._values import beyond_undo, differences, undo_words
from cronq.errors import CronqError, TimezoneError, UsageError
from cronq.model import Job, Micros
from cronq.plan import Launch
from cronq.redefine import redefine
from cronq.render.text import Tone, Word
from cronq.store import DueJob, JobChange
from cronq.timing import fire_times

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cronq.store import Store

USAGE = "set NAME [SCHEDULE] [options] [-- COMMAND [ARG...]]"
EXAMPLES = ("cronq set backup '30 2 * * *'", "cronq set backup --timeout 1h --retries 3")
COMMAND_CLASS = DefiningCommand


def command(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="NAME SCHEDULE", show_default=False)] = None,
    unset_env: Annotated[
        list[str] | None, typer.Option("--unset-env", metavar="K", help="Forget a variable; may be repeated.")
    ] = None,
) -> int:
    """Change a job: what is named changes, all else stays.

    Fire times that are due already are settled under the old definition; runs that exist keep theirs.
    `none` takes away what --timeout, --env-file, --stdin, --max-running, --max-output, --keep, --from,
    --until, --calendar, --blackout, --jitter, --assert, --lock, --secret, --ping, --queue or a limit gave.
    Those that may be repeated are given anew as a whole.
    """
    session = Session.of(ctx)
    if not words:
        raise UsageError("there is no name", hint=f"usage: cronq {USAGE}")
    session.fields = {**session.fields, "unset_env": unset_env}
    schedule_text = None
    if len(words) > 1:
        after = "" if session.argv is None else f" -- {shlex.join(session.argv)}"
        cwd = session.environment.cwd()
        schedule_text = one_schedule(words[1:], before=f"cronq set {words[0]}", after=after, cwd=cwd)
    with session.store(read_only=bool(session.fields.get("dry_run"))) as store:
        change = _Redefinition(session, store, schedule_text)
        if session.fields.get("dry_run"):
            changed = _planned(session, store, words[0], change)
        else:
            changed = change_jobs(session, store, words[:1], change)
        calendars = calendars_for(store, (after.definition for _, after in changed))
    _answer(session, words[0], changed, calendars)
    if changed and not (session.options.json or session.options.quiet):
        for lock, old, new in change.resized:
            session.line(f"  lock {lock}  {old} → {new} at a time, for all that use it")
            session.tell(f"undo: cronq lock {lock} --holders {old}")
    return 0


def _planned(session: Session, store: Store, name: str, change: _Redefinition) -> list[tuple[Job, Job]]:
    """Return the job as it is and as it would be."""
    (due,) = store.due([name])
    job, now = due.job, session.started_at
    after = change(due, settle(due, now, calendars_for(store, [job.definition])), now)
    if after is None or after.definition is None:
        return []
    return [(job, job._replace(definition=after.definition, next_fire_at=after.settled.next_fire_at))]


class _Redefinition:
    """The change that the options ask for, of whatever the job is when it is read."""

    def __init__(self, session: Session, store: Store, schedule_text: str | None) -> None:
        self._session = session
        self._store = store
        self._schedule_text = schedule_text
        self._warned = False
        self.resized: list[tuple[str, int, int]] = []

    def __call__(self, due: DueJob, launch: Launch, now: Micros) -> JobChange | None:
        job = due.job
        draft = draft_from(self._session, base=job.definition)
        calendars = NO_CALENDARS
        if job.definition.calendars or self._session.fields.get("calendars"):
            calendars = self._store.calendars()
        tz = self._take_schedule(job, draft, now)
        take_layers(draft, self._session, tz=tz, now=now, calendars=calendars, base=job.definition)
        definition = draft.over(job.definition)
        if not draft.values:
            raise UsageError(
                "there is nothing to set",
                hint=f"the options: cronq set --help; the job: cronq show {job.name}",
            )
        if definition == job.definition and not any(wish.capacity for wish in draft.locks):
            return None
        times = fire_times(definition, job.name, calendars)
        if draft.values.keys() & {"schedule", "tz", "dst", *FIRING}:
            check_future(times, definition, now)
        if not self._warned:
            self._warned = True
            warn_about(self._session, times, definition, draft)
        self._note_locks(draft, now)
        return redefine(due, launch, definition, times, due.since(now))._replace(locks=draft.locks)

    def _note_locks(self, draft: Draft, now: Micros) -> None:
        """Remember which locks get another number of holders than they have."""
        wanted = {wish.name: wish.capacity for wish in draft.locks if wish.capacity is not None}
        known = self._store.lock_states(now) if wanted else []
        self.resized = [
            (lock.name, lock.capacity, wanted[lock.name])
            for lock in known
            if wanted.get(lock.name, lock.capacity) != lock.capacity
        ]

    def _take_schedule(self, job: Job, draft: Draft, now: Micros) -> str | None:
        """Put what is new about the schedule into the draft; return its zone, None if that is wrong."""
        old = job.definition
        tz = self._session.tz(old.tz)
        if self._session.options.tz is not None:
            draft.values["tz"] = tz
        dst = str(draft.values.get("dst", old.dst))
        if self._schedule_text is None and (tz, dst) == (old.tz, old.dst):
            return tz
        text = self._schedule_text if self._schedule_text is not None else old.schedule
        try:
            schedule = read_future_schedule(text, tz=tz, name=job.name, dst=dst, now=now)
        except TimezoneError as error:
            draft.problems.insert(0, error)
            return None
        except CronqError as error:
            draft.problems.insert(0, error)
            return tz
        if self._schedule_text is not None:
            draft.values["schedule"] = schedule.text
        return tz


def _answer(
    session: Session, name: str, changed: list[tuple[Job, Job]], calendars: Mapping[str, str]
) -> None:
    if session.options.json:
        jobs = [defined_document(after, times_of(after, calendars)) for _, after in changed]
        session.json({"changed": bool(changed), "job": jobs[0] if jobs else None})
        return
    if session.options.quiet:
        session.line(name)
        return
    if not changed:
        session.line(f"{name} is so already; nothing was changed")
        return
    before, after = changed[0]
    verb = "would change" if session.fields.get("dry_run") else "changed"
    session.line(f"{verb} {name} · {next_run(session, after)}")
    tell_layers(session, after, times_of(after, calendars))
    for label, old, new in differences(before.definition, after.definition):
        session.words("  ", Word(label, Tone.DIM), f"  {old} → {new}")
    undo = undo_words(before.definition, after.definition)
    if not session.fields.get("dry_run"):
        if undo:
            session.tell(f"undo: cronq set {name} {' '.join(undo)}")
        if after.origin is not None:
            session.note("the file that defines it says otherwise: the next `cronq apply` changes it back")
        for lost in beyond_undo(before.definition, after.definition):
            session.note(f"undo does not bring back {lost}")
        hint_about_scheduler(session)
