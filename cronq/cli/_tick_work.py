"""One tick under the lock: the jobs are brought in, what is due is run, and everybody is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cronq.cli import _files
from cronq.cli._applying import apply_file
from cronq.cli._change import settle
from cronq.cli._job_file import JobFile
from cronq.cli._tick_cases import tick_of
from cronq.cli._tick_file import note_brought_in, note_zones
from cronq.cli._tick_files import write_files
from cronq.cli._tick_told import tell_tick
from cronq.errors import ExitCode, StateUnreadable
from cronq.events import AttemptFinished, Event, Sink
from cronq.keeping import Keeper, belongs, document_in, read_file
from cronq.model import Command, CommandKind, Definition, Micros, Outcome, State
from cronq.plan import Fire
from cronq.portable.document import EMPTY, Document, with_firing
from cronq.portable.text import read
from cronq.render.live import Display, make_display
from cronq.render.text import count_of, plain
from cronq.render.times import iso
from cronq.report.verdict import exit_code
from cronq.store import Place, Store
from cronq.store.moved import refuse_moved
from cronq.store.sqlite_tick import TickStore, open_tick_store
from cronq.ticking import Done, run_tick

if TYPE_CHECKING:
    from cronq.cli._session import Session
    from cronq.cli._tick import Asked

_NOTHING = Definition(Command(CommandKind.ARGV, ("true",)), "")
"""In the place of a definition that is in no file any more: its job is removed at once."""


def work(session: Session, asked: Asked) -> int:
    """Run one tick; return the exit code."""
    display = make_display("json" if session.options.json else "auto", asked.output, session.terminal)
    code = ExitCode.OK

    def begin(store: TickStore) -> None:
        refuse_moved(store)
        prepare(session, store, asked)
        keep(store, asked.state)

    def report(store: TickStore, done: Done) -> None:
        nonlocal code
        tick = tick_of(session, store, asked.wish.now, done)
        store.keep_all()
        note_zones(store)
        code = done.code or exit_code(tick, asked.fail_on)
        if not write_files(session, store, asked, tick, [run for run, _ in done.rows]):
            code = code or ExitCode.FAILED
        tell_tick(session, tick, code)

    check_begun(session, asked)
    if asked.file is not None and (asked.state is not None or not session.place.database.exists()):
        # All that is wrong with it is found out before a database is made, or made anew.
        read_alone(session, asked.file)
    try:
        run_tick(
            session.place,
            asked.wish,
            prepare=begin,
            report=report,
            tell=_disarmed(display) if session.environment.environ.get("GITHUB_ACTIONS") else display.event,
            flush=display.flush,
            wants_tail=lambda outcome: (
                asked.output == "all" or (asked.output == "fail" and outcome is not Outcome.SUCCESS)
            ),
            environ=session.environment.environ,
        )
    finally:
        display.close()
    return int(code)


def _disarmed(display: Display) -> Sink:
    """Return a sink that shows what jobs printed so that GitHub's runner finds no command in it."""
    from cronq.report.github import disarmed

    def tell(event: Event) -> None:
        if isinstance(event, AttemptFinished):
            tail = tuple(disarmed(line) for line in event.tail)
            event = replace(event, tail=tail, reason=disarmed(event.reason))
        display.event(event)

    return tell


def read_alone(session: Session, path: Path) -> JobFile:
    """Read a file of jobs without a store. Raises: CronqError: All that is wrong with it."""
    session.fields = {"no_check": True}
    return _files.read_alone(session, path, calendars={})


def check_begun(session: Session, asked: Asked) -> None:
    """Raise StateUnreadable if there has to be a cursor and is none; nothing has been made yet."""
    if asked.state is not None:
        if document_in(asked.state) is None and asked.since is None:
            raise StateUnreadable(
                f"there is no state {asked.state}, and --on-missing fail",
                hint="restore it, or begin anew with --on-missing now",
            )
    elif asked.since is None and not session.place.database.exists():
        raise StateUnreadable(
            f"there is no database at {session.place.database}, and --on-missing fail",
            hint="restore it, or begin anew with --on-missing now",
        )


def prepare(session: Session, store: TickStore, asked: Asked) -> None:
    """Make the store hold what the tick is about."""
    if asked.file is None:
        return
    if asked.state is not None:
        take_over(session, store, asked.state, asked.file)
    bring_in(session, store, asked.file, asked.since)
    note_brought_in(session, store, asked.file)


def keep(store: TickStore, state: Path | None) -> None:
    """Keep the portable state, if there is one, from now on."""
    if state is not None:
        store.keep = Keeper(state).draft
        # Before anything is started: a place that cannot be written is found out now.
        store.keep_all()


def take_over(session: Session, store: TickStore, state: Path, path: Path) -> None:
    """Make the store the ledger of a portable state, unless it is that already."""
    text = read_file(state)
    if text is None:
        store.plant(EMPTY, {}, session.started_at)
        store.begin()
        return
    document = read(text)
    if belongs(store, text):
        return
    plant(session, store, document, path)
    store.begin()


def plant(session: Session, store: TickStore, document: Document, path: Path) -> None:
    """Make the store the ledger of a state, with the definitions of a file, and the state's fire times."""
    file = read_alone(session, path)
    named = {job.name: job.definition for job in file.jobs}
    definitions = {
        name: with_firing(named.get(name, _NOTHING), job.firing) for name, job in document.jobs.items()
    }
    store.plant(document, definitions, session.started_at)
    for name, text in file.calendars.items():
        store.set_calendar(name, text, now=0)


def bring_in(session: Session, store: Store, path: Path, since: Micros | None) -> JobFile:
    """Make the store hold what the file says; return the file. An unchanged one writes nothing.

    Args:
        session: Of the command.
        store: Where to.
        path: The file.
        since: When its jobs begin, if there are none yet; None: now.
    """
    session.fields = {"no_check": True}
    overviews = store.overviews(recent=0)
    paths = {one.job.name: one.job.definition.path for one in overviews}
    read = _files.read_alone(session, path, calendars=store.calendars(), paths=paths)
    if not read.jobs:
        session.warn(f"{read.label} defines no jobs")
    apply_file(session, store, read, prune=True, at=None if overviews else since, due_anew=True)
    return read


def dry_run(session: Session, asked: Asked) -> int:
    """Print what would be decided; it is found out with a copy of the ledger, and that is thrown away."""
    with TemporaryDirectory() as folder:
        copy = Place(Path(folder) / "cronq.db", Path(folder) / "logs", "a copy, for --dry-run")
        copy_to(session, asked, copy)
        session.place = copy
        with closing(open_tick_store(copy, create=True, environ=session.environment.environ)) as store:
            prepare(session, store, asked)
            store.limit(asked.wish.limits)
            decisions = list(_decisions(store, asked.wish.now))
    if session.options.json:
        session.json(
            {"decisions": [{"at": iso(at), "job": job, "decision": what} for at, job, what in decisions]}
        )
        return 0
    session.rows(
        ["fire_time", "job", "decision"], ([iso(at) or "", job, plain(what)] for at, job, what in decisions)
    )
    session.tell(f"{count_of(len(decisions), 'decision')}; nothing was changed")
    return 0


def copy_to(session: Session, asked: Asked, copy: Place) -> None:
    """Copy the ledger, if there is one, to another place."""
    if not session.place.database.exists():
        return
    with session.store(read_only=True) as store:
        store.backup(copy.database, now=asked.wish.now)


def _decisions(store: TickStore, now: Micros) -> Iterator[tuple[Micros, str, str]]:
    store.begin()
    for run, _ in store.rows():
        what = "look after" if run.state is State.RUNNING else "run"
        yield run.logical_at, run.job, f"{what} (attempt {max(run.attempt, 1)}, {run.state})"
    calendars = store.calendars()
    for due in store.due_jobs(now, limit=-1):
        for entry in settle(due, now, calendars).entries:
            if isinstance(entry, Fire):
                yield entry.fire_at, due.job.name, f"run ({entry.trigger.value.replace('_', '-')})"
            else:
                count = f" ×{entry.fire_count}" if entry.fire_count > 1 else ""
                yield entry.first_fire_at, due.job.name, f"{entry.outcome.value}{count}: {entry.reason}"
