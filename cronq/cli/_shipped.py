"""Output of runs on other hosts: from the ledger, as far as it was shipped, or from a folder they share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cronq.cli._session import Session
from cronq.errors import StoreError, UsageError
from cronq.model import Attempt, AttemptKey, Outcome
from cronq.store import Place
from cronq.worker.reading import Gap

if TYPE_CHECKING:
    from cronq.store.postgres.outputs import Whereabouts
    from cronq.store.postgres.store import PostgresStore

LOG_DIR = "CRONQ_LOG_DIR"
POLL_S = 0.5
ASK_EVERY_S = 5.0
ASKED_FOR_S = 15.0
"""For so long a host ships what comes; then it must be asked again."""
GIVE_UP_S = 15.0
"""So long after its end what an attempt printed should be here."""
_PAGE = 16


def log_dir(session: Session, given: str | None) -> str | None:
    """Return the folder for logs that hosts share; None: there is none.

    Raises:
        UsageError: There is no such folder, or the ledger is not in a server.
    """
    named = given or session.environment.environ.get(LOG_DIR)
    if not named:
        return None
    if session.place.address is None:
        if given:
            raise UsageError(
                "--log-dir is for a ledger in PostgreSQL; the logs of a file are beside it",
                hint="more than one machine: cronq help postgres",
            )
        return None
    path = (session.environment.cwd() / Path(named).expanduser()).resolve()
    if not path.is_dir():
        # Made by us, it would be one of this host alone where the shared one is not mounted.
        rule = "--log-dir" if given else LOG_DIR
        raise UsageError(f"{rule}: there is no folder {path}", hint="make it first")
    return str(path)


def place_here(
    session: Session, store: PostgresStore, where: Whereabouts, shared: str | None
) -> Place | None:
    """Return the place whose files hold the output of an attempt; None: it has to be in the ledger."""
    from cronq.seat import Seats

    place = session.place
    is_ours = where.host is None or where.host == os.uname().nodename
    if is_ours and where.seat is not None:
        found = Seats(place, store.ledger, session.environment.environ).find(where.seat)
        is_ours, place = found is not None, found or place
    if shared is not None:
        return replace(place, logs=Path(shared))
    return place if is_ours and place.logs.is_dir() else None


class Shipped:
    """The output of one attempt, from the ledger."""

    def __init__(self, session: Session, store: PostgresStore, attempt: Attempt, where: Whereabouts) -> None:
        self._session = session
        self._store = store
        self._attempt = attempt
        self._host = where.host or "another host"
        # An attempt of a node has the node's host.
        self._is_moved = where.host is None
        self._at = 0
        self._has_shown = False

    @property
    def _key(self) -> AttemptKey:
        return (self._attempt.run_id, self._attempt.attempt)

    def pieces(self, *, lines: int | None, follow: bool) -> Iterator[bytes | Gap]:
        """Yield what is there, or is shipped until the attempt has ended.

        Raises:
            StoreError: There should be output, and there is none.
            UsageError: It runs, and nothing of it was shipped.
        """
        if lines is not None:
            self._at = self._last_lines(lines)
        if follow:
            yield from self._followed()
            return
        # The state first: what is shipped before that is never overlooked.
        known = self._known()
        is_shipped = self._store.whereabouts(self._key).is_shipped
        yield from self._rest()
        self._account(known, is_shipped=is_shipped)

    def _followed(self) -> Iterator[bytes | Gap]:
        now = self._session.environment.monotonic
        asked_at = ended_at = None
        while True:
            if asked_at is None or now() >= asked_at + ASK_EVERY_S:
                self._ask(is_first=asked_at is None)
                asked_at = now()
            known = self._known()
            is_shipped = self._store.whereabouts(self._key).is_shipped
            yield from self._rest()
            if known.outcome is not None:
                ended_at = now() if ended_at is None else ended_at
                if is_shipped or not _should_be_there(known) or now() >= ended_at + GIVE_UP_S:
                    self._account(known, is_shipped=is_shipped)
                    return
            self._session.environment.sleep(POLL_S)

    def _ask(self, *, is_first: bool) -> None:
        """Ask the host to ship what comes."""
        try:
            self._store.follow(self._attempt.run_id, ASKED_FOR_S, tell=is_first)
        except StoreError as error:
            if is_first:
                self._session.warn(f"{error.message}; its output can be seen when it has ended")

    def _rest(self) -> Iterator[bytes | Gap]:
        while True:
            before = self._at
            for position, data in self._store.output_from(self._key, self._at, limit=_PAGE):
                if position > self._at:
                    yield Gap(position - self._at, self._host)
                    self._at = position
                part = data[self._at - position :]
                if part:
                    self._at += len(part)
                    yield part
            self._has_shown = self._has_shown or self._at > before
            if self._at == before:
                return

    def _last_lines(self, count: int) -> int:
        """Return the position of the last lines, or that after the last gap, if fewer follow it."""
        newlines, next_at = -1, None
        start = 2**62
        while page := self._store.output_before(self._key, start, limit=_PAGE):
            self._has_shown = True
            for position, data in page:
                if next_at is None:
                    newlines += not data.endswith(b"\n")
                    if count == 0:
                        return position + len(data)
                elif position + len(data) < next_at:
                    return position + len(data)
                found = data.count(b"\n")
                if newlines + found >= count:
                    at = len(data)
                    for _ in range(count - newlines):
                        at = data.rindex(b"\n", 0, at)
                    return position + at + 1
                newlines += found
                next_at = start = position
        return 0

    def _known(self) -> Attempt:
        attempts = self._store.run(self._attempt.run_id).attempts
        return next(one for one in attempts if one.attempt == self._attempt.attempt)

    def _account(self, known: Attempt, *, is_shipped: bool) -> None:
        """Say what is not shown."""
        number, host = known.run_id, self._host
        if known.outcome is None:
            if not self._has_shown:
                raise UsageError(
                    f"run {number} runs on {host}, and nothing of its output was shipped so far",
                    hint=f"follow it with -f, or on {host}: cronq logs {number}",
                )
            self._session.note(f"run {number} runs on {host}; this is what was shipped so far")
        elif not _should_be_there(known):
            return
        elif self._is_moved and not self._has_shown:
            raise StoreError(
                f"the output of run {number} stayed where this ledger was before it was moved",
                hint=f"there: cronq logs {number}; `cronq db move --logs` brings it along",
            )
        elif not is_shipped and not self._has_shown:
            raise StoreError(
                f"the output of run {number} is on {host}, which has not shipped it",
                hint=f"try again later, or on {host}: cronq logs {number}",
            )
        elif not is_shipped:
            self._session.warn(f"the rest of it is on {host}, which has not shipped it")
        elif known.output_bytes and not self._has_shown:
            raise StoreError(
                f"the output is gone: {host}, which executed run {number}, has none",
                hint="if hosts share a folder for logs, name it with --log-dir",
            )


def _should_be_there(known: Attempt) -> bool:
    return bool(known.output_bytes) or known.outcome is Outcome.ABANDONED
