"""A PostgreSQL server for the tests: the wheel's, or the one that is installed (`CRONQ_TEST_POSTGRES`)."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from cronq.store.postgres.cluster import Cluster, Owner, Postmaster, read_postmaster, url_of
from cronq.store.postgres.embedded import programs_of_the_wheel, within_reach

CHOICE = "CRONQ_TEST_POSTGRES"
WHEEL = "wheel"


_EMPTY = """
DO $$ DECLARE one record; BEGIN
    SET LOCAL session_replication_role = replica; -- no order of foreign keys
    FOR one IN SELECT tablename AS name FROM pg_tables WHERE schemaname = '{schema}' LOOP
        EXECUTE format('DELETE FROM {schema}.%I', one.name)
            || CASE one.name WHEN 'fact' THEN $w$ WHERE name NOT IN ('format', 'ledger') $w$ ELSE '' END;
    END LOOP;
    FOR one IN SELECT sequencename AS name FROM pg_sequences
        WHERE schemaname = '{schema}' AND last_value IS NOT NULL LOOP
        PERFORM setval(format('{schema}.%I', one.name)::regclass, 1, false);
    END LOOP;
END $$
"""


class Server:
    """A server in a folder of its own, which can be crashed; its disk is not waited for, unless asked to."""

    def __init__(self, folder: Path, programs: Path, *, syncs: bool = False) -> None:
        self._folder = folder
        self._syncs = syncs
        self._numbers = itertools.count(1)
        self.cluster = Cluster(folder / "data", programs, owner_for_tests())
        folder.chmod(0o711)
        (folder / "s").mkdir()
        self.cluster.give(folder / "s")
        self.cluster.make()
        self.start()

    @property
    def pid(self) -> int:
        """The postmaster; of its last life if it is stopped by a signal."""
        return self._found().pid

    @property
    def url(self) -> str:
        """An empty database that nobody drops; for other databases' making."""
        return url_of(self._last)

    def start(self) -> None:
        # A crash of processes loses nothing that the kernel has, so the tests need no fsync.
        fsync = "fsync=on" if self._syncs else "fsync=off"
        self._last = self.cluster.start(self._folder / "s", fsync, "max_connections=200")

    def stop(self, *, immediate: bool = False) -> None:
        self.cluster.stop("immediate" if immediate else "fast")

    def restart(self, *, immediate: bool = False) -> None:
        self.stop(immediate=immediate)
        self.start()

    def fresh_database(self) -> str:
        """Return the URL of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name}")
        return url_of(self._last, name)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is connected."""
        name = str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
        self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def empty_schema(self, schema: str) -> None:
        """Leave nothing in a ledger but its format; numbers begin at 1 again."""
        self._execute(_EMPTY.format(schema=schema))

    def drop_schema(self, schema: str) -> None:
        """Drop a ledger that a test made in the database of `url`."""
        self._execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")

    def execute(self, url: str, statement: str) -> list[tuple[object, ...]]:
        """Run one statement by itself; return its rows."""
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _execute(self, statement: str) -> None:
        self.execute(self.url, statement)

    def _found(self) -> Postmaster:
        found = read_postmaster(self.cluster.data)
        assert found is not None, "the server has no pid file"
        return found


@contextmanager
def running_server(choice: str | None = None, *, syncs: bool = False) -> Iterator[Server]:
    """Run a server in a folder of its own, and remove both afterwards."""
    # Not in pytest's folder: it is closed to the user that root's server runs as, and its name is too long.
    folder = Path(tempfile.mkdtemp(prefix="cronq-pg-"))
    server = None
    try:
        folder.chmod(0o711)
        chosen = within_reach(owner_for_tests(), programs(choice or os.environ.get(CHOICE) or WHEEL), folder)
        server = Server(folder, chosen, syncs=syncs)
        yield server
    finally:
        if server is not None:
            server.stop(immediate=True)
        shutil.rmtree(folder, ignore_errors=True)


def programs(choice: str) -> Path:
    """Return the folder with the programs of `wheel`, or of an installed major version."""
    if choice == WHEEL:
        return programs_of_the_wheel()
    for folder in installed(choice):
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    raise AssertionError(
        f"PostgreSQL {choice} is not installed (looked in /usr/lib/postgresql and on the PATH): install it, "
        f"or unset {CHOICE} to test with the wheel's"
    )


def installed(version: str) -> Iterator[Path]:
    yield Path(f"/usr/lib/postgresql/{version}/bin")
    on_path = shutil.which("pg_ctl")
    if on_path is not None:
        folder = Path(on_path).resolve().parent
        if f" {version}." in Cluster(folder, folder).run("postgres", "--version"):
            yield folder


def owner_for_tests() -> Owner | None:
    """Return a user that is not root, if this process is: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    user = pwd.getpwnam("nobody")
    return Owner(user.pw_uid, user.pw_gid, user.pw_name)
