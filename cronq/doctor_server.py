"""Is a ledger in a server in order, as it is seen from this host? Nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cronq import clock
from cronq.doctor import LOW_SPACE_BYTES, Finding
from cronq.errors import CronqError
from cronq.model import SECOND
from cronq.store import Place, Store
from cronq.store.opening import connected
from cronq.store.postgres.address import Address
from cronq.store.postgres.location import seats_folder

if TYPE_CHECKING:
    from cronq.store.postgres.connection import Connection
    from cronq.store.postgres.store import PostgresStore

OLDEST = 13
"""Major version of PostgreSQL."""
APART_US = 1 * SECOND
"""By how much the clocks of this host and of the server may differ before it is said."""
NEWS_S = 2.0
"""How long a notification may take."""

# What the role may not do, table by table.
_FORBIDDEN = """
SELECT tablename, word FROM pg_tables, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS word
WHERE schemaname = %s
    AND NOT has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), word)
ORDER BY 1, 2
"""


def look(address: Address, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the findings about a server and about the folder that this host has for it."""
    yield _seats(environ)
    try:
        connection = connected(address)
    except CronqError as error:
        yield Finding("server", "error", error.message, error.hint)
        return
    try:
        yield _version(connection)
        ledger = _ledger(connection)
        yield ledger
        if ledger.level == "ok":
            yield _rights(connection)
        yield _clocks(connection)
        yield _news(connection)
    except CronqError as error:
        yield Finding("server", "error", error.message, error.hint)
    finally:
        connection.close()


def look_at_nodes(store: Store, place: Place, environ: Mapping[str, str]) -> Finding:
    """Look whether a scheduler is there."""
    from cronq.seat import at_work

    nodes = at_work(cast("PostgresStore", store).connection, place, environ)
    there = ", ".join(one.words + ("" if one.fires else " (a worker)") for one in nodes)
    if any(one.fires for one in nodes):
        return Finding("scheduler", "ok", f"running: {there}")
    waiting = store.totals().queued
    message = "none is running" + (f", only {there}" if there else "")
    message += f", and {waiting} runs wait for one" if waiting else ""
    return Finding("scheduler", "warning", message, "start one with `cronq run`")


def _version(connection: Connection) -> Finding:
    ((number, words, standby),) = connection.plain(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version'),"
        " pg_is_in_recovery()"
    ).fetchall()
    if number < OLDEST * 10_000:
        return Finding("server", "error", f"PostgreSQL {words} is too old", f"it takes {OLDEST} or newer")
    if standby:
        return Finding("server", "error", "this is a standby, which takes no writes", "name the primary")
    return Finding("server", "ok", f"PostgreSQL {words} at {connection.address.shown}")


def _ledger(connection: Connection) -> Finding:
    from cronq.store.postgres.connection import SCHEMA_VERSION
    from cronq.store.postgres.migrating import version_of

    schema = connection.address.schema
    found = version_of(connection)
    if found is None:
        hint = "make it: cronq db migrate; the first `cronq add` does so, too"
        return Finding("ledger", "warning", f"there is none in schema {schema}", hint)
    if found < SCHEMA_VERSION:
        message = f"it is of format {found}, and this cronq needs {SCHEMA_VERSION}"
        return Finding("ledger", "error", message, "stop all older nodes, then: cronq db migrate")
    if found > SCHEMA_VERSION:
        message = f"it is of format {found}, and this cronq knows {SCHEMA_VERSION}"
        return Finding(
            "ledger", "error", message, "upgrade cronq: pip install --upgrade 'cronq-cli[postgres]'"
        )
    return Finding("ledger", "ok", f"format {found}, in schema {schema}")


def _rights(connection: Connection) -> Finding:
    schema = connection.address.schema
    forbidden = connection.plain(_FORBIDDEN, (schema,)).fetchall()
    ((role, read_only),) = connection.plain(
        "SELECT current_user::text, current_setting('default_transaction_read_only') = 'on'"
    ).fetchall()
    if forbidden:
        table, word = forbidden[0]
        message = f"role {role} has no {word} on {schema}.{table}"
        hint = f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"
        return Finding("rights", "error", message, hint)
    if read_only:
        message = f"transactions of role {role} only read"
        return Finding("rights", "error", message, "look at default_transaction_read_only")
    return Finding("rights", "ok", f"role {role} can read and write")


def _clocks(connection: Connection) -> Finding:
    before = clock.now_us()
    ((there,),) = connection.plain(
        "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    ).fetchall()
    after = clock.now_us()
    # It was read at some moment of the round trip; what lies within says nothing.
    apart = before - there if before > there else min(0, after - there)
    if abs(apart) < APART_US:
        return Finding("clock", "ok", f"{abs(apart) / SECOND:.3f} s from that of the server, which is kept")
    way = "ahead of" if apart > 0 else "behind"
    message = f"this host is {abs(apart) / SECOND:.1f} s {way} the server, whose clock decides what is due"
    return Finding("clock", "warning", message, "let both follow the same time servers (NTP)")


def _news(connection: Connection) -> Finding:
    if not connection.address.listens:
        return Finding("news", "ok", "LISTEN is not used (listen=no): every node looks by itself")
    channel = f"cronq_doctor_{os.getpid()}"
    listener = connected(connection.address)
    try:
        listener.plain(f"LISTEN {channel}")
        connection.plain("SELECT pg_notify(%s, '')", (channel,))
        ends = clock.monotonic() + NEWS_S
        while clock.monotonic() < ends:
            if any(True for _ in listener.news()):
                return Finding("news", "ok", "LISTEN works: nodes hear of changes at once")
            clock.sleep(0.02)
    finally:
        listener.close()
    message = "LISTEN does not work through this connection, as behind PgBouncer in transaction mode"
    return Finding(
        "news", "warning", message, "add listen=no to the address, or connect to the server itself"
    )


def _seats(environ: Mapping[str, str]) -> Finding:
    folder = seats_folder(environ)
    there = _existing(folder)
    if there != folder and there.exists() and not there.is_dir():
        return Finding("folder", "error", f"{there} is no folder", "look at it, then move it away")
    try:
        space = os.statvfs(there)
    except OSError as error:
        return Finding("folder", "error", f"{there}: {error.strerror}")
    if not os.access(there, os.W_OK | os.X_OK):
        hint = "check its owner and mode, or name another with XDG_STATE_HOME"
        return Finding("folder", "error", f"{there} cannot be written", hint)
    if there == folder and folder.stat().st_mode & 0o022:
        return Finding("folder", "warning", f"others have rights on {folder}", f"chmod go= {folder}")
    free = space.f_bavail * space.f_frsize
    if free < LOW_SPACE_BYTES:
        message = f"{free // 1024} KiB are free in {folder}"
        return Finding("folder", "error", message, "free some space: nothing is started while it is full")
    return Finding("folder", "ok", f"{free // 1024**2} MiB are free in {folder}")


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
