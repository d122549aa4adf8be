"""`cronq logs`: the output of a run, as it was or as it comes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, cast

import typer

from cronq.cli._output import OutputWriter
from cronq.cli._runs import run_number
from cronq.cli._session import Session
from cronq.cli._shipped import Shipped, place_here
from cronq.cli._shipped import log_dir as shared_dir
from cronq.errors import JobNotFound, RunNotFound, StoreError, UsageError
from cronq.masking import LEAST, is_too_short
from cronq.model import Attempt, Definition, Outcome, Run, State
from cronq.render.words import attempt_word
from cronq.sizes import short_size
from cronq.store import Place, RunDetail, RunQuery, Store
from cronq.worker.environment import secrets_now, variables_now
from cronq.worker.reading import Gap, LogReader
from cronq.worker.spool import open_log, open_spool

if TYPE_CHECKING:
    from cronq.store.postgres.store import PostgresStore

if TYPE_CHECKING:
    from cronq.store.postgres.store import PostgresStore

USAGE = "logs RUN|NAME [options]"
EXAMPLES = ("cronq logs backup", "cronq logs 812 -f")
POLL_S = 0.2
_PAGE = 200


def command(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(metavar="RUN|NAME", show_default=False)],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the attempt ends.")] = False,
    lines: Annotated[
        int | None, typer.Option("-n", "--lines", metavar="COUNT", min=0, help="Only the last lines.")
    ] = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", metavar="N", min=1, help="Which attempt (default: the last).")
    ] = None,
    log_dir: Annotated[
        str | None,
        typer.Option("--log-dir", metavar="DIR", help="Where nodes put logs that were started with this."),
    ] = None,
) -> int:
    """Show what a run wrote to standard output and standard error; of a job, its newest run.

    On a terminal, control characters in the output are shown, not obeyed; into a pipe it goes as it is, but
    for secret values (--secret), which are masked everywhere.

    With a ledger in PostgreSQL it is shown on any host: when a run has ended, its output is shipped, up to
    --max-output; while it runs, as long as somebody follows it. CRONQ_LOG_DIR has the effect of --log-dir.
    """
    session = Session.of(ctx)
    shared = shared_dir(session, log_dir)
    with session.store(read_only=True) as store:
        run = _run(store, what)
        if follow:
            _wait_for_start(session, store, run.id, attempt)
        chosen = _attempt(store.run(run.id), attempt)
        definition = store.definition(run.job_id, run.revision)
        if session.for_people:
            _tell_header(session, run, chosen, definition)
        about = {"run": run.id, "job": run.job, "attempt": chosen.attempt}
        writer = OutputWriter(
            session, about, secrets_now(definition, session.environment.environ), definition.max_output
        )
        pieces = _pieces(
            session, store, chosen, shared, limit=definition.max_output, lines=lines, follow=follow
        )
        writer.write(pieces, whole=not follow)
    return 0


def _tell_header(session: Session, run: Run, attempt: Attempt, definition: Definition) -> None:
    word = attempt_word(attempt, ascii_only=session.terminal.ascii_only)
    parts = [f"{run.job} #{run.id}, attempt {attempt.attempt}: {word.text}"]
    if attempt.outcome is Outcome.SUCCESS and attempt.reason:
        parts.append(attempt.reason)
    limit, printed = definition.max_output, attempt.output_bytes
    if limit is not None and printed is not None and printed > limit:
        parts.append(f"it printed {short_size(printed)}, of which {short_size(limit)} are kept")
    session.tell("; ".join(parts))
    if definition.secrets:
        values = variables_now(definition, session.environment.environ)
        for name in definition.secrets:
            if name in values and is_too_short(values[name]):
                session.note(f"{name} is shorter than {LEAST} characters, and is not masked")


def _run(store: Store, what: str) -> Run:
    """Return a run by its number, else the newest one of a job that was started, or is about to be."""
    if what.removeprefix("#").isdecimal():
        try:
            return store.run(run_number(what)).run
        except RunNotFound:
            try:
                store.job(what)  # a name may consist of digits
            except JobNotFound:
                pass
            else:
                return _newest(store, what)
            raise
    return _newest(store, what)


def _newest(store: Store, name: str) -> Run:
    before: int | None = None
    while True:
        page = store.runs(RunQuery(job_names=(name,), before_id=before, limit=_PAGE))
        for run, _ in page:
            if run.attempt or run.state is not State.DONE:
                return run
        if len(page) < _PAGE:
            raise RunNotFound(f"{name} has not run yet", hint=f"when it will: cronq next {name}")
        before = page[-1][0].id


def _attempt(detail: RunDetail, number: int | None) -> Attempt:
    run = detail.run
    if not detail.attempts:
        outcome = f"{run.outcome}: {run.reason}" if run.outcome else "queued, and not started yet"
        raise RunNotFound(f"run {run.id} of {run.job} has no output; it is {outcome}")
    if number is None:
        return detail.attempts[-1]
    for attempt in detail.attempts:
        if attempt.attempt == number:
            return attempt
    raise RunNotFound(
        f"run {run.id} of {run.job} has no attempt {number}", hint=f"it has {len(detail.attempts)} of them"
    )


def _wait_for_start(session: Session, store: Store, run_id: int, number: int | None) -> None:
    while True:
        detail = store.run(run_id)
        if detail.run.state is State.DONE or len(detail.attempts) >= (number or 1):
            return
        session.environment.sleep(POLL_S)


def _pieces(
    session: Session,
    store: Store,
    attempt: Attempt,
    shared: str | None,
    *,
    limit: int | None,
    lines: int | None,
    follow: bool,
) -> Iterator[bytes | Gap]:
    """Yield the output, piece by piece; following, until the attempt has ended."""
    place: Place | None = session.place
    elsewhere: Shipped | None = None
    if session.place.address is not None:
        ledger = cast("PostgresStore", store)
        where = ledger.whereabouts((attempt.run_id, attempt.attempt))
        place = place_here(session, ledger, where, shared)
        elsewhere = Shipped(session, ledger, attempt, where)
    fd = _opened(place, attempt, store, shared) if place is not None else None
    while place is not None and fd is None and follow and not _has_ended(store, attempt):
        session.environment.sleep(POLL_S)
        fd = _opened(place, attempt, store, shared)
    if fd is None and elsewhere is not None and (place is None or _has_ended(store, attempt)):
        yield from elsewhere.pieces(lines=lines, follow=follow)
        return
    if fd is None:
        _refuse_missing(session, store, attempt)
        return
    try:
        reader = LogReader(fd, limit)
        if lines is not None:
            reader.seek_last_lines(lines)
        yield from reader.pieces()
        while follow:
            # The state first, then the rest: what is written before the end is never overlooked.
            ended = _has_ended(store, attempt)
            yield from reader.pieces()
            if ended:
                return
            session.environment.sleep(POLL_S)
    finally:
        os.close(fd)


def _opened(place: Place, attempt: Attempt, store: Store, shared: str | None) -> int | None:
    key = (attempt.run_id, attempt.attempt)
    try:
        _, fd = open_log(place, key, attempt.worker)
        if fd is None and shared is not None and not _has_ended(store, attempt):
            # On another host, whose lock files nobody sees here. It may have ended meanwhile.
            fd = open_spool(place, attempt.worker)
            if fd is not None and _has_ended(store, attempt):
                os.close(fd)
                _, fd = open_log(place, key, attempt.worker)
    except OSError as error:
        raise StoreError(f"{error.filename} cannot be read: {error.strerror}") from error
    return fd


def _refuse_missing(session: Session, store: Store, attempt: Attempt) -> None:
    """Raise if there should be output; an attempt that printed nothing has no file."""
    known = next(one for one in store.run(attempt.run_id).attempts if one.attempt == attempt.attempt)
    if known.outcome is None:
        if known.started_at is None:
            raise UsageError(f"run {known.run_id} is just being started", hint="follow it with -f")
    elif known.output_bytes:
        path = session.place.log_file(known.run_id, known.attempt)
        raise StoreError(f"the output is gone: there is no file {path}")


def _has_ended(store: Store, attempt: Attempt) -> bool:
    attempts = store.run(attempt.run_id).attempts
    return any(one.attempt == attempt.attempt and one.outcome is not None for one in attempts)
