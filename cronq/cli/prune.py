"""`cronq prune`: remove finished runs and their logs now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, NamedTuple

import typer

from cronq.cli._said import confirm
from cronq.cli._session import Session
from cronq.errors import CronqError, UsageError
from cronq.lock import is_held
from cronq.pruning import Pruned, Steps, prune, prune_kept
from cronq.render.text import count_of, joined
from cronq.retention import Keep, parse_keep
from cronq.sizes import short_size
from cronq.store import JobHistory, Store

USAGE = "prune [NAME...] [--keep LIMITS] [--dry-run] [--yes]"
EXAMPLES = ("cronq prune", "cronq prune backup --keep 30d --dry-run")

MOST_PATIENCE_S = 0.05
"""Longest pause between two batches, in which a scheduler gets its turn."""
TIDY_EVERY = 50
"""Batches after which what they wrote is moved from the write-ahead log into the database."""
_PAGE = 500


class _Done(NamedTuple):
    """What became of the history of a job, and of its removed namesakes."""

    name: str
    pruned: Pruned


def command(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", show_default=False)] = None,
    keep: Annotated[
        str | None,
        typer.Option("--keep", metavar="LIMITS", help="Apply these limits instead of the jobs' own."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
) -> int:
    """Remove finished runs that are beyond the limits of their jobs, with their logs.

    The scheduler does the same every ten minutes. With --keep the limits are those given here, an age, a
    number of runs, a size of logs, or several of them, for the named jobs or for all, also removed ones.
    What is gone cannot be brought back, so that is asked first. Runs that are queued or running stay, and so
    does the newest of each job.
    """
    session = Session.of(ctx)
    given = None if keep is None else _read(keep)
    with session.store(read_only=dry_run) as store:
        work = _Work(session, store, _histories(store, names or [], given), own=given is None)
        if dry_run:
            _answer(session, work.count(), "would remove")
            return 0
        if given is not None and not yes:
            found = sum((one.pruned for one in work.count()), Pruned())
            if found.runs and not confirm(session, _question(found, names or [])):
                session.tell("nothing was changed")
                return 1
        done = work.do()
    _answer(session, done, "removed")
    return 0


def _read(text: str, option: str = "--keep") -> Keep:
    if text == "none":
        raise UsageError(f"{option}: with `none` there is nothing to remove")
    try:
        return parse_keep(text)
    except CronqError as error:
        message = f"{option}: {error.message}"
        raise type(error)(message, hint=error.hint, text=error.text, span=error.span) from error


def _histories(store: Store, names: Sequence[str], given: Keep | None) -> list[tuple[JobHistory, Keep]]:
    """Return whose history is to be pruned to which limits; all are read before anything is done."""
    if names:
        found = store.histories(list(dict.fromkeys(names)))
    else:
        listed = store.kept_jobs if given is None else store.jobs_ever
        found = []
        while page := listed(after=found[-1].id if found else 0, limit=_PAGE):
            found += page
    if given is not None:
        return [(history, given) for history in found]
    limited = [
        (history, _read(history.keep, f"{history.name}: --keep"))
        for history in found
        if history.keep is not None
    ]
    for name in names:
        if name not in {history.name for history, _ in limited}:
            hint = f"give it some: cronq set {name} --keep 30d; or for once: cronq prune {name} --keep 30d"
            raise UsageError(f"all runs of {name} are kept: it has no --keep", hint=hint)
    return limited


def _question(found: Pruned, names: Sequence[str]) -> str:
    whose = f"of {joined(list(names))}" if 0 < len(names) <= 5 else f"of {count_of(len(names), 'job')}"
    return f"remove {_amount(found)} {whose if names else 'of all jobs'}, for ever?"


def _amount(pruned: Pruned) -> str:
    runs = f"{pruned.runs:,} run{'s' * (pruned.runs != 1)}"
    return f"{runs} and {short_size(pruned.size)} of logs" if pruned.size else runs


class _Work:
    """Histories to be pruned, one after the other; those of one name are told together."""

    def __init__(
        self, session: Session, store: Store, histories: Sequence[tuple[JobHistory, Keep]], *, own: bool
    ) -> None:
        self._session = session
        self._store = store
        self._histories = histories
        self._own = own
        self._batches = 0
        # A server gives its turns in the order in which they are asked for, and looks after its log itself.
        self._is_file = session.place.address is None

    def count(self) -> list[_Done]:
        """Return what `do` would remove."""
        return self._all(partial(self._prune, only_count=True))

    def do(self) -> list[_Done]:
        """Remove what is beyond the limits; return what that was."""
        done = self._all(self._prune_kept if self._own else self._prune)
        self._tidy()
        return done

    def _all(self, steps_of: Callable[[JobHistory, Keep], Steps]) -> list[_Done]:
        found: dict[str, Pruned] = {}
        for history, keep in self._histories:
            total = sum(self._politely(steps_of(history, keep)), found.get(history.name, Pruned()))
            found[history.name] = total
        return [_Done(name, pruned) for name, pruned in sorted(found.items())]

    def _prune(self, history: JobHistory, keep: Keep, *, only_count: bool = False) -> Steps:
        session = self._session
        return prune(self._store, session.place, history, keep, session.started_at, only_count=only_count)

    def _prune_kept(self, history: JobHistory, _keep: Keep) -> Steps:
        return prune_kept(self._store, self._session.place, history, self._session.started_at)

    def _politely(self, steps: Steps) -> Steps:
        """Pause after each batch for as long as it took, if a scheduler may be waiting for its turn.

        SQLite gives the lock to whoever asks at the right moment, and he who takes it again at once is first.
        """
        environment = self._session.environment
        began = environment.monotonic()
        for step in steps:
            yield step
            if step.runs:
                self._batches += 1
                if self._batches % TIDY_EVERY == 0:
                    self._tidy()
                if self._is_file and is_held(self._session.place.lock):
                    environment.sleep(min(environment.monotonic() - began, MOST_PATIENCE_S))
            began = environment.monotonic()

    def _tidy(self) -> None:
        """Keep the write-ahead log short: a scheduler does it at its next turn; without one we do."""
        if not self._batches:
            return
        if self._is_file and is_held(self._session.place.lock):
            self._session.ring()
        else:
            self._store.checkpoint()


def _answer(session: Session, done: Sequence[_Done], verb: str) -> None:
    total = sum((one.pruned for one in done), Pruned())
    if session.options.json:
        jobs = [{"name": one.name, "runs": one.pruned.runs, "bytes": one.pruned.size} for one in done]
        amounts: dict[str, object] = {"runs": total.runs, "bytes": total.size, "dry_run": verb != "removed"}
        session.json({"jobs": jobs, **amounts})
        return
    touched = [one for one in done if one.pruned.runs]
    if session.options.quiet:
        session.lines(one.name for one in touched)
        return
    session.lines(f"{verb} {_amount(one.pruned)} of {one.name}" for one in touched)
    if len(touched) > 1:
        session.line(f"{verb} {_amount(total)} in all")
    if not touched:
        session.tell("nothing is beyond the limits" if done else "no job has limits: everything is kept")
