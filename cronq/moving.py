"""A ledger moved to another database: the same jobs, the same history, the same numbers, and one that counts.

Both are written by nobody else meanwhile. The old one gets its mark before the new one is committed: whatever
dies at whatever line, there are never two that somebody could take for the one to work with. Dies between the
two commits: the new one is empty, and the mark is taken away with `cronq db move --forget`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from typing import NamedTuple

from cronq import clock, moved_logs
from cronq.errors import (
    ConflictError,
    CronqError,
    InvariantError,
    SchedulerRunning,
    StoreBusy,
    StoreUnreachable,
    UsageError,
)
from cronq.restore import nobody_at_work
from cronq.store import Place, copying
from cronq.store.copying import CONTENTS, TABLES, End, SqliteEnd
from cronq.store.moved import MOVED_TO, moved_error
from cronq.store.opening import connected, exists
from cronq.store.sqlite import open_connection

POLL_S = 0.5
_MARK = "INSERT INTO fact (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


class Moved(NamedTuple):
    """What was copied.

    Attributes:
        rows: Of each table.
        logs: Attempts whose output went with them; None: their logs stay where they are.
        hosts_lost: Attempts of which the new place does not know the host any more.
    """

    rows: Mapping[str, int]
    logs: int | None
    hosts_lost: int


def survey(source: Place, target: Place, environ: Mapping[str, str]) -> Mapping[str, int]:
    """Return what would be copied, rows of each table, and change nothing.

    Raises:
        CronqError: It could not be moved now.
    """
    _refuse_same(source, target)
    _check_target(target, environ)
    with ExitStack() as stack:
        end = _opened(stack, source, environ, create=False)
        stack.enter_context(_nobody_at_work(source))
        with _begun(end):
            _refuse_busy(end)
            rows = _counts(end)
    return rows


def move(
    source: Place,
    target: Place,
    environ: Mapping[str, str],
    *,
    with_logs: bool = False,
    wait: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Moved:
    """Copy a ledger to a place that is empty, and mark the old one.

    Args:
        source: Where it is; stays as it is but for the mark.
        target: Where to; made if there is nothing.
        environ: For the list of trusted projects.
        with_logs: Logs that are files go into the server, too.
        wait: Wait for whoever is at work to end.
        tell: Called with what is waited for.

    Raises:
        UsageError: Both are the same place.
        ConflictError: Somebody is at work, a run is not ended, or the target is not empty.
        StoreError: One of them cannot be used; nothing was changed.
    """
    _refuse_same(source, target)
    _check_target(target, environ)
    with ExitStack() as stack:
        old = _opened(stack, source, environ, create=False)
        _enter_when_quiet(stack, source, old, tell if wait else None)
        new = _opened(stack, target, environ, create=True)
        stack.enter_context(_nobody_at_work(target))
        with _begun(old), _begun(new):
            _refuse_busy(old)
            _refuse_busy(new)
            _refuse_moved(old)
            _refuse_contents(new, target)
            seats = _seats(source, old, environ)
            moved = _copy(old, new, source, target, seats, with_logs=with_logs)
            old.execute(_MARK, (MOVED_TO, target.shown))
            old.commit()
            try:
                new.commit()
            except StoreUnreachable as error:
                # It may be there for all that: then there would be two that count.
                raise StoreUnreachable(
                    f"{error.message}; whether the ledger arrived is not known",
                    hint="look there; if it is empty, this one counts again with: cronq db move --forget",
                ) from error
            except CronqError:
                with suppress(CronqError):
                    _forget(old)
                raise
        new.settle()
    return moved


def _refuse_moved(end: End) -> None:
    """Raise ConflictError if it was moved already: there would be two that count."""
    found = end.execute("SELECT value FROM fact WHERE name = ?", (MOVED_TO,))
    if found and found[0][0]:
        raise moved_error(str(found[0][0]))


def forget(place: Place, environ: Mapping[str, str]) -> str | None:
    """Take the mark from a ledger; return where it was moved to, if it was. Raises: StoreError."""
    with ExitStack() as stack:
        end = _opened(stack, place, environ, create=False)
        found = end.execute("SELECT value FROM fact WHERE name = ?", (MOVED_TO,))
        if not found:
            return None
        _forget(end)
    return str(found[0][0])


def _forget(end: End) -> None:
    end.begin()
    end.execute("DELETE FROM fact WHERE name = ?", (MOVED_TO,))
    end.commit()


def _seats(place: Place, end: End, environ: Mapping[str, str]) -> list[Place]:
    """Return what nodes of a ledger in a server have on this host."""
    if place.address is None:
        return []
    from cronq.seat import Seats
    from cronq.store.postgres.living import LEDGER_NAME

    found = end.execute(LEDGER_NAME)
    return [*Seats(place, str(found[0][0]), environ).all().values()] if found else []


def _copy(
    old: End, new: End, source: Place, target: Place, seats: Sequence[Place], *, with_logs: bool
) -> Moved:
    common = [table for table in TABLES if old.columns(table.name) and new.columns(table.name)]
    copying.clear(new)
    for table in common:
        copying.copy(old, new, table)
    copying.copy_numbers(old, new)
    rows = {}
    for table in common:
        rows[table.name] = copying.count(old, table.name)
        if (arrived := copying.count(new, table.name)) != rows[table.name]:
            raise InvariantError(f"{arrived} rows of `{table.name}` arrived, of {rows[table.name]}")
    logs, lost = None, 0
    if target.address is None and source.address is not None:
        # First what is whole: of long ones the ledger has the two ends alone.
        logs = moved_logs.collect(seats, target, old)
        found = copying.pages(old, copying.OUTPUT, moved_logs.COLUMNS)
        logs += moved_logs.write(target, (row for page in found for row in page))
        ((lost,),) = old.execute("SELECT count(host) FROM attempt")
    elif source.address is not None or with_logs:
        if source.address is None:
            new.insert(copying.OUTPUT.name, moved_logs.COLUMNS, moved_logs.pieces(source, old))
        else:
            moved_logs.bring(seats, old, new)
        ((logs,),) = new.execute("SELECT count(*) FROM (SELECT DISTINCT run_id, attempt FROM output) AS one")
    return Moved(rows, logs, int(lost))


def _counts(end: End) -> dict[str, int]:
    return {table.name: copying.count(end, table.name) for table in TABLES if end.columns(table.name)}


def _opened(stack: ExitStack, place: Place, environ: Mapping[str, str], *, create: bool) -> End:
    if place.address is None:
        connection = open_connection(
            place, create=create, read_only=False, for_scheduler=False, environ=environ
        )
        stack.callback(connection.close)
        return SqliteEnd(connection, place.database)
    server = connected(place.address)
    stack.callback(server.close)
    from cronq.seat import at_work
    from cronq.store.postgres.copying import PostgresEnd
    from cronq.store.postgres.migrating import require_schema

    require_schema(server, create=create)
    return PostgresEnd(server, partial(at_work, server, place, environ))


@contextmanager
def _begun(end: End) -> Iterator[None]:
    end.begin()
    try:
        yield
    finally:
        end.rollback()


# Who is in the way


def _refuse_same(source: Place, target: Place) -> None:
    if source.shown == target.shown:
        raise UsageError(f"the ledger is at {target.shown} already", hint="name another place")


def _check_target(target: Place, environ: Mapping[str, str]) -> None:
    """Find out early what is in the way there; nothing is made."""
    if exists(target):
        with ExitStack() as stack:
            _refuse_contents(_opened(stack, target, environ, create=False), target)


def _refuse_contents(end: End, place: Place) -> None:
    found = {name: copying.count(end, name) for name in CONTENTS}
    if any(found.values()):
        words = ", ".join(_counted(number, name) for name, number in found.items() if number)
        raise ConflictError(
            f"{place.shown} is not empty: it holds {words}",
            hint="name another file, database or schema (?schema=NAME); nothing was changed",
        )


def _nobody_at_work(place: Place) -> AbstractContextManager[None]:
    # In a server the transaction and the mark do it: a node has to be written down there.
    return nobody_at_work(place) if place.address is None else nullcontext()


def _enter_when_quiet(stack: ExitStack, place: Place, end: End, tell: Callable[[str], None] | None) -> None:
    """See to it that nobody is at work, until the stack is left; wait for that if `tell` is given."""
    told = ""
    while True:
        try:
            with ExitStack() as inner:
                inner.enter_context(_nobody_at_work(place))
                with _begun(end):
                    _refuse_busy(end)
                stack.push(inner.pop_all())
                return
        except (SchedulerRunning, StoreBusy) as error:
            if tell is None:
                raise
            if error.message != told:
                told = error.message
                tell(f"waiting: {told}")
            clock.sleep(POLL_S)


def _refuse_busy(end: End) -> None:
    """Raise unless no node lives and no run is in hand; inside the transaction."""
    if nodes := end.nodes():
        raise SchedulerRunning(
            f"{_counted(len(nodes), 'node')} of this ledger at work",
            details=tuple(nodes[:3]),
            hint="stop them first, or give --wait; nothing was changed",
        )
    ((running,),) = end.execute("SELECT count(*) FROM run WHERE state = 'running'")
    if running:
        raise ConflictError(
            f"{_counted(running, 'run')} not ended, and nobody is there to look after them",
            hint="let a scheduler do it: cronq run --until-idle; nothing was changed",
        )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
