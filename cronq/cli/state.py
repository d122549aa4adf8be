"""`cronq state`: the cursor of a tick as portable text: out of a ledger, into one, and two as one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.cli._session import Session
from cronq.errors import ConflictError, ExitCode, JobNotFound, StoreBusy, UsageError
from cronq.keeping import Draft, document_in
from cronq.model import Micros, Outcome
from cronq.portable.document import Document, JobState, firing_of
from cronq.portable.merge import merge
from cronq.portable.text import text_of
from cronq.render.text import count_of, plain
from cronq.render.times import iso

if TYPE_CHECKING:
    from cronq.store import JobChange
    from cronq.store.sqlite_tick import TickStore

USAGE = "state [export [FILE] | import FILE | merge FILE FILE]"
EXAMPLES = ("cronq state export cronq.state", "cronq state merge one.state other.state -o cronq.state")
REASON = "accounted for elsewhere: an imported state says so"
_ACTIONS = {"export": (0, 1), "import": (1, 1), "merge": (2, 2)}
_TRIES = 50


def command(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="export|import|merge", show_default=False)
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="merge: write there.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file", metavar="FILE", help="import: the jobs, for a new database (default: cronq.toml)."
        ),
    ] = None,
) -> int:
    """Write a state, bring one into the database, or make one of two.

    A state is what `cronq tick --state` keeps: of each job the first fire time that is not accounted for, its
    last outcomes, and what is open. It is text, always the same for the same state, with a checksum.

    merge takes the union by fire time. What both of them claimed is told, with exit code 1; written all the
    same is a state in which a fire time counts as run that either of them ran.
    """
    session = Session.of(ctx)
    action, files = _action(words or [])
    if output is not None and action != "merge":
        raise UsageError("--output is for `cronq state merge`", hint=f"usage: cronq {USAGE}")
    if file is not None and action != "import":
        raise UsageError("--file is for `cronq state import`", hint=f"usage: cronq {USAGE}")
    if action == "merge":
        return _merge(session, files[0], files[1], output)
    session.refuse_server(f"`state {action}` works with a database file", "name one with --db FILE")
    if action == "import":
        return _import(session, _path(session, files[0]), file)
    return _export(session, files[0] if files else "-")


def _action(words: list[str]) -> tuple[str, list[str]]:
    action, *files = words or ["export"]
    if action not in _ACTIONS:
        raise UsageError(f"`{plain(action)}` is not export, import or merge", hint=f"usage: cronq {USAGE}")
    least, most = _ACTIONS[action]
    if not least <= len(files) <= most:
        problem = "a file is missing" if len(files) < least else f"`{plain(files[-1])}` is too much"
        raise UsageError(problem, hint=f"usage: cronq {USAGE}")
    return action, files


def _path(session: Session, text: str) -> Path:
    path = Path(text).expanduser()
    return path if path.is_absolute() else session.environment.cwd() / path


def _known(session: Session, text: str) -> Document:
    document = document_in(_path(session, text))
    if document is None:
        raise UsageError(f"there is no file {_path(session, text)}")
    return document


def _write(session: Session, document: Document, where: str | None) -> None:
    text = text_of(document)
    if where is None or where == "-":
        session.terminal.out.write(text)
        return
    Draft(_path(session, where).resolve(), text).put()
    session.tell(f"wrote {where}: {count_of(len(document.jobs), 'job')}")


def _export(session: Session, where: str) -> int:
    from cronq.store.sqlite_tick import open_tick_store

    environ = session.environment.environ
    with closing(open_tick_store(session.place, read_only=True, environ=environ)) as store, store.reading():
        document = store.describe()
    if session.options.json:
        session.json({"runs": document.runs, "jobs": [_as_json(job) for job in document.jobs.values()]})
    else:
        _write(session, document, where)
    return 0


def _as_json(job: JobState) -> dict[str, object]:
    return {
        "name": job.name,
        "definition": job.definition,
        "firing": dict(job.firing),
        "cursor": iso(job.cursor),
        "paused_at": iso(job.paused_at),
        "done": [{"fire_time": iso(run.at), "run": run.run_id, "outcome": run.outcome} for run in job.done],
        "open": [{"fire_time": iso(run.at), "run": run.run_id, "state": run.state} for run in job.open],
    }


def _merge(session: Session, one: str, other: str, where: str | None) -> int:
    merged, conflicts = merge(_known(session, one), _known(session, other))
    if session.options.json:
        if where is not None:
            _write(session, merged, where)
        found = [{"job": c.job, "fire_time": iso(c.at), "conflict": c.text} for c in conflicts]
        session.json({"jobs": len(merged.jobs), "conflicts": found})
    else:
        _write(session, merged, where)
        for conflict in conflicts:
            at = "" if conflict.at is None else f" {iso(conflict.at)}"
            session.warn(f"{conflict.job}{at}: {conflict.text}")
    return int(ExitCode.FAILED if conflicts else ExitCode.OK)


def _import(session: Session, state: Path, file: str | None) -> int:
    from cronq.store.sqlite_tick import open_tick_store

    document = _known(session, str(state))
    environ = session.environment.environ
    with closing(open_tick_store(session.place, create=True, environ=environ)) as store:
        if store.overviews(recent=0, limit=1):
            moved, left = _advance(session, store, document)
        else:
            _plant(session, store, document, file)
            moved, left = sorted(document.jobs), []
    if session.options.json:
        session.json({"moved": moved, "kept": left})
    else:
        session.tell(
            f"{count_of(len(moved), 'job')} moved on to the state's cursor, {len(left)} left as they were"
        )
    return 0


def _plant(session: Session, store: TickStore, document: Document, file: str | None) -> None:
    """Make an empty database the ledger of a state; the jobs come from a file."""
    from cronq import lock
    from cronq.cli._tick_work import bring_in, plant

    path = _path(session, file or "cronq.toml")
    if not path.is_file():
        raise UsageError(
            f"the database has no jobs, and there is no {path}", hint="name the file of jobs with --file"
        )
    held = lock.hold(session.place.lock)
    try:
        plant(session, store, document, path)
        bring_in(session, store, path, None)
    finally:
        held()


def _advance(session: Session, store: TickStore, document: Document) -> tuple[list[str], list[str]]:
    """Let jobs go on where a state says; return the names of those that move, and of the others."""
    for _ in range(_TRIES):
        known = {overview.job.name: overview.job for overview in store.overviews(recent=0)}
        unknown = sorted(document.jobs.keys() - known.keys())
        if unknown:
            raise JobNotFound(
                f"the database has no job named {', '.join(f'`{name}`' for name in unknown)}",
                hint="bring the jobs in first: cronq apply",
            )
        other = [n for n, job in document.jobs.items() if firing_of(known[n].definition) != dict(job.firing)]
        if other:
            raise ConflictError(
                f"not the same fire times as in the state: {', '.join(other)}",
                hint="apply the file of jobs that the state belongs to: cronq apply",
            )
        now = session.environment.now()
        changes = [_moved(store, job) for job in document.jobs.values()]
        found = [change for change in changes if change is not None]
        if not found or store.change_jobs(found, now=now) is not None:
            session.ring()
            moved = [change.settled.job.name for change in found]
            return moved, [name for name in document.jobs if name not in moved]
    raise StoreBusy("the jobs kept being changed by others", hint="nothing was changed; try again")


def _moved(store: TickStore, job: JobState) -> JobChange | None:
    from cronq.plan import pass_over
    from cronq.store import JobChange
    from cronq.timing import times_of

    (due,) = store.due([job.name])
    cursor: Micros | None = job.cursor
    if cursor is None or due.job.next_fire_at is None or cursor <= due.job.next_fire_at:
        return None
    launch = pass_over(due.job, times_of(due.job, store.calendars()), cursor - 1, Outcome.SKIPPED, REASON)
    return JobChange(launch, paused_at=due.job.paused_at)
