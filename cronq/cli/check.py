"""`cronq check`: everything that may be wrong with the jobs, before it hurts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cronq.cli._checks import ERROR, NOTE, WARNING, Finding, findings
from cronq.cli._errors import Problems, errors_in
from cronq.cli._session import Session
from cronq.errors import CronqError, ExitCode, StoreMissing, UsageError
from cronq.model import Job
from cronq.names import is_name
from cronq.render.text import Tone, Word, count_of, plain
from cronq.render.times import iso

if TYPE_CHECKING:
    from cronq.store import Store

USAGE = "check [NAME...|FILE...] [--strict]"
EXAMPLES = ("cronq check --strict backup report", "cronq check cronq.toml --elsewhere")
_TONES = {ERROR: Tone.RED, WARNING: Tone.YELLOW, NOTE: Tone.DIM}


class Checked(NamedTuple):
    """A job and what was found."""

    job: Job
    findings: list[Finding]

    def count(self, level: str) -> int:
        """Return how many findings are of a level."""
        return sum(finding.level == level for finding in self.findings)


def command(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME|FILE", show_default=False)] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 for warnings, too.")] = False,
    elsewhere: Annotated[
        bool,
        typer.Option(
            "--elsewhere", help="Of FILE: it is for another machine; do not look for folders, files, users."
        ),
    ] = False,
) -> int:
    """Look for what may be wrong with jobs; of all of them, if none is named. Changes nothing.

    Given files of jobs (cronq.toml), it looks at these and needs no database: exit code 2 with all that is
    wrong in them. The repository of cronq is a hook for pre-commit that does so: `cronq-check`.

    Errors are a schedule, zone or calendar that cannot be read, no fire time left, an env file that is gone,
    and an assertion (cronq set NAME --assert TEXT) that does not hold. Exit code 1 if there is one.
    """
    session = Session.of(ctx)
    files = [name for name in names or [] if is_file_name(session, name)]
    if files and len(files) < len(names or []):
        raise UsageError(
            "names of files and of jobs are mixed", hint="check one kind at a time: cronq check cronq.toml"
        )
    if elsewhere and not files:
        raise UsageError("--elsewhere needs a FILE", hint="cronq check cronq.toml --elsewhere")
    checked = _in_files(session, files, elsewhere=elsewhere) if files else _checked(session, names or [])
    errors, warnings = (sum(one.count(level) for one in checked) for level in (ERROR, WARNING))
    if session.options.json:
        session.json(
            {
                "jobs": [_document(one, strict=strict) for one in checked],
                "errors": errors,
                "warnings": warnings,
            }
        )
    elif session.options.quiet:
        session.lines(one.job.name for one in checked if not _is_fine(one, strict=strict))
    elif session.for_people:
        if not checked and files:
            session.tell("No jobs in there.")
        else:
            _tell(session, checked, errors, warnings)
    else:
        session.rows(
            ["name", "level", "message", "hint"],
            ([one.job.name, f.level, f.message, f.hint] for one in checked for f in one.findings),
        )
    return int(ExitCode.FAILED if errors or (strict and warnings) else ExitCode.OK)


def _checked(session: Session, names: list[str]) -> list[Checked]:
    try:
        with session.store(read_only=True) as store:
            jobs = _jobs(store, names)
            calendars: Mapping[str, str] = store.calendars()
    except StoreMissing:
        if names or session.options.db or session.environment.environ.get("CRONQ_DB"):
            raise
        return []  # nothing was ever added: there is nothing to find
    return [Checked(job, list(findings(job, calendars, session.started_at))) for job in jobs]


def _jobs(store: Store, names: Sequence[str]) -> list[Job]:
    if not names:
        return [overview.job for overview in store.overviews(recent=0)]
    return store.named_jobs(names)


def is_file_name(session: Session, text: str) -> bool:
    """Return whether a person named a file, not a job: by its ending or a slash, or because it is there."""
    if "/" in text or text.endswith((".toml", ".json")):
        return True
    return not is_name(text) and (session.environment.cwd() / text).is_file()


def _in_files(session: Session, files: Sequence[str], *, elsewhere: bool) -> list[Checked]:
    from cronq.cli._files import path_of_file, read_file, stored_calendars

    session.fields = {"no_check": elsewhere, "elsewhere": elsewhere}
    problems: list[CronqError] = []
    checked = []
    now = session.started_at
    for text in files:
        try:
            read = read_file(session, path_of_file(session, text))
        except CronqError as error:
            problems += errors_in(error)
            continue
        calendars = {**stored_calendars(session), **read.calendars}
        for one in read.jobs:
            job = Job(0, one.name, 1, one.definition, now, now)
            found = [Finding(WARNING, warning) for warning in one.warnings]
            found += findings(job, calendars, now, elsewhere=elsewhere)
            checked.append(Checked(job, found))
    if problems:
        raise Problems(problems)
    return checked


def _is_fine(one: Checked, *, strict: bool) -> bool:
    return not one.count(ERROR) and not (strict and one.count(WARNING))


def _tell(session: Session, checked: list[Checked], errors: int, warnings: int) -> None:
    if not checked:
        session.tell("No jobs yet.")
        return
    for one in checked:
        if not one.findings:
            continue
        session.words(Word(plain(one.job.name), Tone.BOLD))
        for finding in one.findings:
            session.words(
                "  ", Word(f"{finding.level}:", _TONES[finding.level]), f" {plain(finding.message)}"
            )
            if finding.hint:
                session.line(f"    hint: {plain(finding.hint)}")
    found = [count_of(number, noun) for number, noun in ((errors, "error"), (warnings, "warning")) if number]
    session.line(f"{count_of(len(checked), 'job')}: {', '.join(found) or 'all is well'}")


def _document(one: Checked, *, strict: bool) -> dict[str, object]:
    return {
        "name": one.job.name,
        "ok": _is_fine(one, strict=strict),
        "findings": [
            {
                "level": finding.level,
                "message": finding.message,
                "hint": finding.hint or None,
                "assertion": finding.assertion,
                "at": [iso(at) for at in finding.at],
            }
            for finding in one.findings
        ],
    }
