"""`cronq set`: change a job's definition, and say what was changed and how to undo it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.cli._change import change_jobs, settle
from cronq.cli._definition import Draft, draft_from, warn_about
from cronq.cli._documents import definition_document, job_document
from cronq.cli._fields import DefiningCommand
from cronq.cli._said import hint_about_scheduler, next_run
from cronq.cli._schedules import one_schedule, read_future_schedule, schedule_of
from cronq.cli._session import Session
from cronq.cli._values import differences, undo_words
from cronq.errors import UsageError
from cronq.model import Job, Micros
from cronq.plan import Launch
from cronq.render.text import Tone, Word
from cronq.store import DueJob, JobChange

if TYPE_CHECKING:
    from cronq.schedule import Schedule

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
    `--timeout none`, `--env-file none`, `--stdin none` and `--max-running none` take a limit or a file away.
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
    change = _Redefinition(session, schedule_text)
    if session.fields.get("dry_run"):
        with session.store(read_only=True) as store:
            due = store.due(words[:1])[0]
        after_change = change(due, settle(due, session.started_at), session.started_at)
        job = due.job
        changed = (
            [(job, job._replace(definition=after_change.definition or job.definition))]
            if after_change
            else []
        )
    else:
        with session.store() as store:
            changed = change_jobs(session, store, words[:1], change)
    _answer(session, words[0], changed)
    return 0


class _Redefinition:
    """The change that the options ask for, of whatever the job is when it is read."""

    def __init__(self, session: Session, schedule_text: str | None) -> None:
        self._session = session
        self._schedule_text = schedule_text
        self._warned = False

    def __call__(self, due: DueJob, launch: Launch, now: Micros) -> JobChange | None:
        job = due.job
        draft = draft_from(self._session, base=job.definition)
        schedule = self._schedule(job, draft, now)
        definition = draft.over(job.definition)
        if not draft.values:
            raise UsageError(
                "there is nothing to set",
                hint=f"the options: cronq set --help; the job: cronq show {job.name}",
            )
        if definition == job.definition:
            return None
        if not self._warned:
            self._warned = True
            warn_about(self._session, schedule, definition, draft)
        if draft.values.keys() & {"schedule", "tz", "dst"}:
            launch = launch._replace(next_fire_at=schedule.next_us(now))
        return JobChange(launch, definition, paused_at=job.paused_at, at_startup=schedule.at_startup)

    def _schedule(self, job: Job, draft: Draft, now: Micros) -> Schedule:
        """Return the schedule afterwards; put what is new about it into the draft."""
        old = job.definition
        tz = self._session.tz(old.tz)
        if self._session.options.tz is not None:
            draft.values["tz"] = tz
        dst = str(draft.values.get("dst", old.dst))
        if self._schedule_text is None and (tz, dst) == (old.tz, old.dst):
            return schedule_of(job)
        text = self._schedule_text if self._schedule_text is not None else old.schedule
        schedule = read_future_schedule(text, tz=tz, name=job.name, dst=dst, now=now)
        if self._schedule_text is not None:
            draft.values["schedule"] = schedule.text
        return schedule


def _answer(session: Session, name: str, changed: list[tuple[Job, Job]]) -> None:
    if session.options.json:
        jobs = [
            job_document(after) | {"definition": definition_document(after.definition, reveal=False)}
            for _, after in changed
        ]
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
    for label, old, new in differences(before.definition, after.definition):
        session.words("  ", Word(label, Tone.DIM), f"  {old} → {new}")
    undo = undo_words(before.definition, after.definition)
    if undo and not session.fields.get("dry_run"):
        session.tell(f"undo: cronq set {name} {' '.join(undo)}")
        hint_about_scheduler(session)
