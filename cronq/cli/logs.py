"""`cronq logs`: the output of a run, as it was or as it comes."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from cronq.cli._runs import run_number
from cronq.cli._session import Session
from cronq.errors import JobNotFound, RunNotFound, StoreError, UsageError
from cronq.model import Attempt, Run, State
from cronq.render.text import plain
from cronq.render.words import attempt_word
from cronq.store import RunDetail, RunQuery, Store

USAGE = "logs RUN|NAME [options]"
EXAMPLES = ("cronq logs backup", "cronq logs 812 -f")
POLL_S = 0.2
_CHUNK = 65_536
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
) -> int:
    """Show what a run wrote to standard output and standard error; of a job, its newest run.

    On a terminal, control characters in the output are shown, not obeyed; into a pipe it goes as it is.
    """
    session = Session.of(ctx)
    with session.store(read_only=True) as store:
        run = _run(store, what)
        if follow:
            _wait_for_start(session, store, run.id, attempt)
        chosen = _attempt(store.run(run.id), attempt)
        path = session.place.log_file(run.id, chosen.attempt)
        if session.for_people:
            word = attempt_word(chosen, ascii_only=session.terminal.ascii_only)
            session.tell(f"{run.job} #{run.id}, attempt {chosen.attempt}: {word.text}")
        _Output(session, run, chosen.attempt).show(
            _pieces(session, store, path, chosen, lines=lines, follow=follow), whole=not follow
        )
    return 0


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
    session: Session, store: Store, path: Path, attempt: Attempt, *, lines: int | None, follow: bool
) -> Iterator[bytes]:
    """Yield the output, piece by piece; following, until the attempt has ended."""
    file: BinaryIO
    try:
        file = path.open("rb")
    except FileNotFoundError:
        if attempt.outcome is not None and attempt.started_at is None:
            return  # nothing was started: the reason is in the ledger
        if not follow:
            _raise_missing(path, attempt)
        file = _appearing(session, store, path, attempt)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    with file:
        if lines is not None:
            _seek_last_lines(file, lines)
        yield from iter(lambda: file.read(_CHUNK), b"")
        while follow:
            # The state first, then the rest: what is written before the end is never overlooked.
            ended = _has_ended(store, attempt)
            yield from iter(lambda: file.read(_CHUNK), b"")
            if ended:
                return
            session.environment.sleep(POLL_S)


def _appearing(session: Session, store: Store, path: Path, attempt: Attempt) -> BinaryIO:
    while not path.exists():
        if _has_ended(store, attempt):
            _raise_missing(path, attempt)
        session.environment.sleep(POLL_S)
    return path.open("rb")


def _raise_missing(path: Path, attempt: Attempt) -> None:
    if attempt.outcome is None and attempt.started_at is None:
        raise UsageError(f"run {attempt.run_id} is just being started", hint="follow it with -f")
    raise StoreError(f"the output is gone: there is no file {path}")


def _has_ended(store: Store, attempt: Attempt) -> bool:
    attempts = store.run(attempt.run_id).attempts
    return any(one.attempt == attempt.attempt and one.outcome is not None for one in attempts)


def _seek_last_lines(file: BinaryIO, count: int) -> None:
    """Move to where the last lines begin, reading from the end: a log may be large."""
    position = file.seek(0, 2)
    if count == 0:
        return
    newlines = 0
    first = True
    while position > 0:
        size = min(_CHUNK, position)
        position -= size
        file.seek(position)
        block = file.read(size)
        if first and block.endswith(b"\n"):
            newlines -= 1  # the one that ends the last line begins none
        first = False
        found = block.count(b"\n")
        if newlines + found >= count:
            at = len(block)
            for _ in range(count - newlines):
                at = block.rindex(b"\n", 0, at)
            file.seek(position + at + 1)
            return
        newlines += found
    file.seek(0)


class _Output:
    """Writes output as the reader can bear it."""

    def __init__(self, session: Session, run: Run, attempt: int) -> None:
        self._session = session
        self._about = {"run": run.id, "job": run.job, "attempt": attempt}
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._line = ""

    def show(self, pieces: Iterator[bytes], *, whole: bool) -> None:
        """Write all pieces.

        Args:
            pieces: As they come.
            whole: For JSON: one object when all is there, instead of one a line.
        """
        if self._session.options.json:
            self._json(pieces, whole=whole)
            return
        out = self._session.terminal.out
        buffer = None if self._session.terminal.out_is_tty else getattr(out, "buffer", None)
        for piece in pieces:
            if buffer is not None:
                buffer.write(piece)
                buffer.flush()
            else:
                out.write(self._shown(self._decoder.decode(piece)))
                out.flush()

    def _shown(self, text: str) -> str:
        if not self._session.terminal.out_is_tty:
            return text
        return plain(text.replace("\r\n", "\n"), keep="\n\t")

    def _json(self, pieces: Iterator[bytes], *, whole: bool) -> None:
        lines: list[str] = []
        for piece in pieces:
            *complete, self._line = (self._line + self._decoder.decode(piece)).split("\n")
            if whole:
                lines += complete
            else:
                for line in complete:
                    self._session.json_line({**self._about, "line": line})
        if self._line and whole:
            lines.append(self._line)
        elif self._line:
            self._session.json_line({**self._about, "line": self._line})
        if whole:
            self._session.json({**self._about, "lines": lines})
