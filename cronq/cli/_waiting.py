"""Waiting for runs to end, for `trigger --wait` and `retry --wait`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cronq.cli._documents import run_document
from cronq.cli._said import hint_about_scheduler
from cronq.errors import ExitCode, UsageError
from cronq.model import Attempt, Outcome, Run, State
from cronq.render.text import Word
from cronq.render.words import outcome_word

if TYPE_CHECKING:
    from cronq.cli._session import Session
    from cronq.store import Store

POLL_S = 0.2


def answer_queued(session: Session, runs: Sequence[Run], *, wait: bool, timeout: str | None) -> int:
    """Say which runs were queued; wait for them if asked to.

    Returns:
        The exit code: 0, or with waiting 1 if a run failed and 124 if time ran out.
    """
    limit = _limit(timeout, wait=wait)
    if session.options.quiet:
        session.lines(str(run.id) for run in runs)
    elif not session.options.json:
        session.lines(f"queued {run.job} #{run.id}" for run in runs)
    session.terminal.out.flush()
    hint_about_scheduler(session)
    if not wait:
        if session.options.json:
            session.json({"runs": [run_document(run, None) for run in runs]})
        return 0
    with session.store(read_only=True) as store:
        return _wait(session, store, runs, limit)


def check_wait(wait: bool, timeout: str | None) -> None:
    """Read `--timeout` before anything is queued. Raises: DurationError, UsageError."""
    _limit(timeout, wait=wait)


def _limit(timeout: str | None, *, wait: bool) -> float | None:
    if timeout is None:
        return None
    if not wait:
        raise UsageError("--timeout needs --wait")
    from cronq.schedule.duration import parse_duration

    return parse_duration(timeout)


def _wait(session: Session, store: Store, runs: Sequence[Run], limit: float | None) -> int:
    environment = session.environment
    ends = None if limit is None else environment.monotonic() + limit
    done: dict[int, tuple[Run, Attempt | None]] = {}
    while True:
        for run in runs:
            if run.id not in done:
                detail = store.run(run.id)
                if detail.run.state is State.DONE:
                    done[run.id] = (detail.run, detail.attempts[-1] if detail.attempts else None)
                    _tell_end(session, detail.run)
        if len(done) == len(runs):
            break
        if ends is not None and environment.monotonic() >= ends:
            session.tell(
                f"time ran out; still going: {', '.join(f'#{r.id}' for r in runs if r.id not in done)}"
            )
            return int(ExitCode.WAIT_TIMEOUT)
        environment.sleep(POLL_S)
    if session.options.json:
        session.json({"runs": [run_document(*done[run.id]) for run in runs]})
    good = all(run.outcome is Outcome.SUCCESS for run, _ in done.values())
    return int(ExitCode.OK if good else ExitCode.FAILED)


def _tell_end(session: Session, run: Run) -> None:
    if session.options.json or session.options.quiet or run.outcome is None:
        return
    word = outcome_word(
        run.outcome, run.reason, ascii_only=not session.for_people or session.terminal.ascii_only
    )
    session.words(f"{run.job} #{run.id}  ", Word(word.text, word.tone))
    session.terminal.out.flush()
