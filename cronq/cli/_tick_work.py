"""One tick under the lock: the jobs are brought in, what is due is run, and everybody is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cronq.cli._applying import apply_file
from cronq.cli._change import settle
from cronq.cli._job_file import JobFile, read_job_file
from cronq.cli._tick_file import note_brought_in
from cronq.cli._tick_told import tell_tick
from cronq.errors import ExitCode, StateUnreadable
from cronq.model import Micros, Outcome, State
from cronq.plan import Fire
from cronq.render.live import make_display
from cronq.render.text import count_of, plain
from cronq.render.times import iso
from cronq.report.cases import Tick, case_of, waiting_in
from cronq.report.verdict import exit_code
from cronq.store import Place, Store
from cronq.store.sqlite_tick import Beginning, TickStore, open_tick_store
from cronq.ticking import Done, run_tick

if TYPE_CHECKING:
    from cronq.cli._session import Session
    from cronq.cli._tick import Asked


def work(session: Session, asked: Asked) -> int:
    """Run one tick; return the exit code."""
    display = make_display("json" if session.options.json else "auto", asked.output, session.terminal)
    code = ExitCode.OK

    def report(_store: TickStore, done: Done) -> None:
        nonlocal code
        tick = _tick_of(session, asked, done)
        code = done.code or exit_code(tick, asked.fail_on)
        tell_tick(session, tick, code)

    try:
        if asked.since is None and not session.place.database.exists():
            raise StateUnreadable(
                f"there is no database at {session.place.database}, and --on-missing fail",
                hint="restore it, or begin anew with --on-missing now",
            )
        run_tick(
            session.place,
            asked.wish,
            prepare=lambda store: prepare(session, store, asked),
            report=report,
            tell=display.event,
            wants_tail=lambda outcome: (
                asked.output == "all" or (asked.output == "fail" and outcome is not Outcome.SUCCESS)
            ),
            environ=session.environment.environ,
        )
    finally:
        display.close()
    return int(code)


def prepare(session: Session, store: TickStore, asked: Asked) -> None:
    """Make the store hold what the tick is about."""
    if asked.file is not None:
        bring_in(session, store, asked.file, asked.since)
        note_brought_in(session, store, asked.file)


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
    read = read_job_file(session, path, calendars=store.calendars(), paths=paths)
    apply_file(session, store, read, prune=True, at=None if overviews else since)
    return read


def _tick_of(session: Session, asked: Asked, done: Done) -> Tick:
    cases = tuple(case_of(run, attempt, done.cut) for run, attempt in done.rows if run.state is State.DONE)
    took_s = (session.environment.now() - asked.wish.now) / 1_000_000
    return Tick(asked.wish.now, cases, waiting_in(done.rows), done.is_spent, took_s)


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
    open_runs = store.begin().open
    for run, _ in store.rows(Beginning(store.begin().last, open_runs)):
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
