"""Files of jobs that a command is given: finding, reading and planning them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cronq.cli._applying import Plan, Step, plan_file
from cronq.errors import StoreMissing, UsageError
from cronq.store import Store
from cronq.store.base import CalendarText

DAYS = 7
"""How far ahead fire times that change are told."""

if TYPE_CHECKING:
    from cronq.cli._job_file import JobFile
    from cronq.cli._session import Session
    from cronq.cli._toml import Document


def path_of_file(session: Session, text: str) -> Path:
    """Return the file that a person named. Raises: UsageError: There is none."""
    path = Path(text).expanduser()
    path = path if path.is_absolute() else session.environment.cwd() / path
    if not path.is_file():
        raise UsageError(
            f"there is no file {path}", hint="write one; `cronq export` shows what it looks like"
        )
    return path


def read_file(session: Session, path: Path) -> JobFile:
    """Return what a file says, with the calendars of the store. Raises: Problems: all that is wrong."""
    from cronq.cli._toml import read_document

    return read_as_stored(session, read_document(path, path.name), path.absolute().parent)


def read_alone(
    session: Session, path: Path, *, calendars: Mapping[str, str], paths: Mapping[str, str] | None = None
) -> JobFile:
    """Return what a file says, and what is given, whatever the store holds.

    Args:
        session: As for all files.
        path: The file.
        calendars: Those that there are besides.
        paths: The PATH that was recorded for each job that there is.

    Raises:
        Problems: All that is wrong.
    """
    from cronq.cli._job_file import read_jobs
    from cronq.cli._toml import read_document

    document = read_document(path, path.name)
    return read_jobs(session, document, path.absolute().parent, calendars=calendars, paths=paths or {})


def read_as_stored(session: Session, document: Document, folder: Path) -> JobFile:
    """Return what a document says, with the calendars of the store; relative paths begin in a folder.

    Raises:
        Problems: All that is wrong.
    """
    from cronq.cli._job_file import read_jobs

    try:
        with session.store(read_only=True) as store:
            paths = {o.job.name: o.job.definition.path for o in store.overviews(recent=0)}
    except StoreMissing:
        paths = {}
    calendars = stored_calendars(session)
    return read_jobs(session, document, folder, calendars=calendars, paths=paths)


def stored_calendars(session: Session) -> Mapping[str, str]:
    """Return the named calendars; none where there is no database."""
    try:
        with session.store(read_only=True) as store:
            return store.calendars()
    except StoreMissing:
        return {}


def planned(session: Session, read: JobFile, *, prune: bool) -> Plan:
    """Return what applying a file would do, and do nothing; also where there is no database yet."""
    try:
        with session.store(read_only=True) as store:
            return plan_file(store, read, session.started_at, prune=prune)
    except StoreMissing:
        steps = [Step("add", one.name, after=one.definition, times_after=one.times) for one in read.jobs]
        locks: list[tuple[str, int | None, int]] = [(w.name, None, w.capacity or 1) for w in read.locks]
        calendars = {name: CalendarText(name, 0, text) for name, text in read.calendars.items()}
        return Plan(steps, [], [], calendars, [], locks)


def applier(session: Session, text: str, *, as_json: bool) -> Callable[[Store], None]:
    """Read a file, and return what makes a store hold what it says, and tells the consequences.

    Jobs of an earlier file that this one does not name are removed.

    Args:
        session: Where to tell them: events are on standard output, so people read this beside it.
        text: The file, as a person named it.
        as_json: Tell them as one more event in JSON.

    Raises:
        UsageError: There is no such file.
        Problems: All that is wrong with it.
    """
    read = read_file(session, path_of_file(session, text))

    def apply(store: Store) -> None:
        from cronq.cli._applying import apply_file
        from cronq.cli._consequences import consequences, summary
        from cronq.render.times import iso

        done = apply_file(session, store, read, prune=True)
        warn_of(session, read)
        if as_json:
            session.json_line(
                {
                    "event": "file_applied",
                    "at": iso(session.environment.now()),
                    "file": read.label,
                    "added": [step.name for step in done.steps if step.action == "add"],
                    "changed": [step.name for step in done.steps if step.action == "change"],
                    "removed": [step.name for step in done.steps if step.action == "remove"],
                    "kept": sum(step.action == "keep" for step in done.steps),
                    "severity": "info",
                }
            )
            return
        for words in consequences(session, done, DAYS):
            session.tell("".join(str(getattr(word, "text", word)) for word in words))
        session.tell(f"{read.label}: {summary(done, is_plan=False)}")

    return apply


def warn_of(session: Session, read: JobFile) -> None:
    """Tell what is legal in a file but probably not meant."""
    for one in read.jobs:
        for warning in one.warnings:
            session.warn(f"{one.name}: {warning}")
