"""What `cronq db` does."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from cronq.errors import SchedulerRunning, UsageError
from cronq.render.table import facts
from cronq.render.text import Word, count_of, plain
from cronq.store.moved import MOVED_TO
from cronq.store.opening import connected, open_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cronq.cli._session import Session
    from cronq.moving import Moved
    from cronq.store import Place


class _Known(NamedTuple):
    """What there is to say of a database.

    Attributes:
        format: Of the ledger; None: there is none.
        knows: The newest format that this cronq knows.
        server: Which database it is, with its version.
        moved_to: Where the ledger was moved to; None: it was not.
    """

    format: int | None
    knows: int
    server: str
    moved_to: str | None


def tell_url(session: Session) -> int:
    """Say which database is in use."""
    place = session.place
    known = _known(session)
    schema = None if place.address is None else place.address.schema
    if session.options.json:
        document = {
            "address": place.shown,
            "kind": "sqlite" if place.address is None else "postgresql",
            "rule": place.rule,
            "schema": schema,
            "format": known.format,
            "newest_format": known.knows,
            "server": known.server,
            "moved_to": known.moved_to,
        }
        session.json({"database": document})
        return 0
    if session.options.quiet:
        session.line(place.shown)
        return 0
    found = "none yet" if known.format is None else str(known.format)
    if known.format is not None and known.format < known.knows:
        found += f", and this cronq needs {known.knows}: cronq db migrate"
    pairs = [("database", session.tilde(place.shown) if session.for_people else place.shown)]
    pairs += [("found by", place.rule), ("format", found)]
    pairs += [] if schema is None else [("schema", schema)]
    pairs += [("server" if place.address else "library", known.server)]
    pairs += [] if known.moved_to is None else [("moved to", known.moved_to)]
    if session.for_people:
        session.lines(facts([(label, Word(plain(text))) for label, text in pairs], session.terminal.style))
    else:
        session.rows(["key", "value"], ([label, text] for label, text in pairs))
    return 0


def _known(session: Session) -> _Known:
    place = session.place
    if place.address is None:
        from cronq.store.connection import SCHEMA_VERSION

        found = file_format(session, place)
        moved = _moved_to(session) if found == SCHEMA_VERSION else None
        return _Known(found, SCHEMA_VERSION, f"SQLite {sqlite3.sqlite_version}", moved)
    with closing(connected(place.address)) as connection:
        from cronq.store.postgres.connection import SCHEMA_VERSION as NEWEST
        from cronq.store.postgres.migrating import version_of

        (version,) = connection.plain("SHOW server_version").fetchall()[0]
        found = version_of(connection)
        moved = _moved_to(session) if found == NEWEST else None
        return _Known(found, NEWEST, f"PostgreSQL {version}", moved)


def _moved_to(session: Session) -> str | None:
    with session.store(read_only=True) as store:
        return store.fact(MOVED_TO) or None


def file_format(session: Session, place: Place) -> int | None:
    """Return the format of a database file, as it is before anybody brings it up to date."""
    from cronq.store.connection import check_application, mapped_errors, quoted
    from cronq.store.location import check_trust

    with mapped_errors(place.database):
        if not place.database.exists():
            return None
        check_trust(place, session.environment.environ)
        uri = f"file:{quoted(place.database)}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            return check_application(connection, place.database)


def migrate(session: Session) -> int:
    """Make the tables, or bring them up to date, and say what was done."""
    place = session.place
    before: int | None
    if place.address is None:
        from cronq.store.connection import SCHEMA_VERSION as after

        before = file_format(session, place)
        open_store(place, create=True, environ=session.environment.environ).close()
    else:
        with closing(connected(place.address)) as connection:
            from cronq.store.postgres.migrating import migrate as make

            before, after = make(connection)
    if session.options.json:
        session.json({"address": place.shown, "format_before": before, "format": after})
    elif session.options.quiet:
        session.line(place.shown)
    elif before == after:
        session.line(f"nothing to do: {plain(session.tilde(place.shown))} has format {after}")
    else:
        was = "there was none" if before is None else str(before)
        session.line(f"migrated {plain(session.tilde(place.shown))} · format {was} → {after}")
    if place.address is None:
        session.note("a database file is brought up to date by whatever command opens it")
    return 0


def move(session: Session, url: str, *, plan: bool, wait: bool, with_logs: bool) -> int:
    """Move the ledger, or say what would be moved."""
    from cronq import moving
    from cronq.store.location import named_place

    environ = session.environment.environ
    target = named_place(url, session.environment.cwd(), "URL", environ)
    source = session.place
    if with_logs and (source.address is not None or target.address is None):
        raise UsageError("--logs is for the way from a file into a server", hint="else they go by themselves")
    if plan:
        return _answer(session, target, moving.survey(source, target, environ), None)
    done = moving.move(
        source, target, environ, with_logs=with_logs, wait=wait, tell=session.tell
    )  # fmt: skip
    return _answer(session, target, done.rows, done)


def _answer(session: Session, target: Place, rows: Mapping[str, int], done: Moved | None) -> int:
    source = session.place
    if session.options.json:
        document: dict[str, object] = {"from": source.shown, "to": target.shown, "rows": dict(rows)}
        if done is not None:
            document |= {"logs": done.logs, "hosts_lost": done.hosts_lost}
        session.json({"moved": document, "plan": done is None})
        return 0
    if session.options.quiet:
        session.line(target.shown)
        return 0
    verb = "would move" if done is None else "moved"
    counts = ", ".join(count_of(rows[name], name) for name in ("job", "run", "attempt", "calendar", "lock"))
    where = f"{plain(session.tilde(source.shown))} → {plain(session.tilde(target.shown))}"
    session.line(f"{verb} {where} · {counts}")
    if done is None:
        session.tell("nothing was changed")
        return 0
    session.tell(f"verified: {sum(rows.values())} rows in {len(rows)} tables, as many as before")
    if done.logs is not None:
        session.tell(f"with the output of {count_of(done.logs, 'attempt')}")
    elif target.address is not None:
        session.note(
            f"the logs stay where they are: {session.tilde(str(source.logs))} (--logs takes them along)"
        )
    if source.address is not None and target.address is None:
        session.note("logs that are only on other hosts stay there")
    if done.hosts_lost:
        session.note(f"on which host {count_of(done.hosts_lost, 'attempt')} ran is not known there")
    session.note(f"`cronq run` refuses {session.tilde(source.shown)} from now on")
    session.hint(f"go on with --db, or: export CRONQ_DB='{target.shown}'")
    return 0


def forget(session: Session) -> int:
    """Let the ledger count again."""
    from cronq import moving

    was = moving.forget(session.place, session.environment.environ)
    shown = session.tilde(session.place.shown)
    if session.options.json:
        session.json({"address": session.place.shown, "was_moved_to": was})
    elif was is None:
        session.line(f"{plain(shown)} was not moved; nothing was changed")
    else:
        session.line(f"{plain(shown)} counts again")
        session.note(f"there is another one at {was}: let only one of them be run")
    return 0


def stop(session: Session, *, force: bool) -> int:
    """Stop the private server; nothing else ever starts it by accident."""
    from cronq.store.postgres import embedded
    from cronq.store.postgres.address import EMBEDDED
    from cronq.store.postgres.cluster import look, url_of

    environ = session.environment.environ
    named = session.options.db or environ.get("CRONQ_DB") or EMBEDDED
    if not named.startswith(EMBEDDED):
        raise UsageError(f"`cronq db stop` stops the server of {EMBEDDED} only", hint=f"--db {EMBEDDED}")
    folder = embedded.default_folder(environ).resolve()
    found = look(folder / "data")
    if found is not None and not force:
        from cronq.seat import at_work
        from cronq.store.postgres.location import server_place
        from cronq.store.postgres.migrating import version_of

        place = server_place(url_of(found), EMBEDDED, environ)
        assert place.address is not None
        with closing(connected(place.address)) as connection:
            nodes = [] if version_of(connection) is None else at_work(connection, place, environ)
        if nodes:
            raise SchedulerRunning(
                f"{count_of(len(nodes), 'node')} of this server at work",
                details=tuple(one.words for one in nodes[:3]),
                hint="stop them first, or give --force",
            )
    ran = embedded.stop(folder)
    if session.options.json:
        session.json({"stopped": ran, "folder": str(folder)})
    else:
        what = "stopped the server in" if ran else "no server runs in"
        session.line(f"{what} {plain(session.tilde(str(folder)))}")
    return 0
