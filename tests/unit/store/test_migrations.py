"""The format of the database: its migrations, and what happens to older, newer and foreign files."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest

from cronq.errors import StoreCorrupt, StoreMissing, StoreTooNew
from cronq.store import Place, open_store
from cronq.store.connection import (
    APPLICATION_ID,
    MIGRATIONS,
    SCHEMA_VERSION,
    _migrate,
    connect,
    statements,
)
from cronq.store.documents import document_from_definition
from tests.unit.store.builders import add, definition, redefine


def schema_of(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()


def raw(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def test_migrations_are_numbered_without_holes() -> None:
    names = sorted(path.name for path in MIGRATIONS.iterdir() if path.suffix == ".sql")
    assert names == [f"{number:04d}.sql" for number in range(1, SCHEMA_VERSION + 1)]


def test_migrations_make_tables_strict() -> None:
    for path in MIGRATIONS.glob("*.sql"):
        text = re.sub(r"--.*", "", path.read_text(encoding="utf-8"))
        for statement in text.split(";"):
            if "CREATE TABLE" in statement:
                assert re.search(r"\)\s*STRICT", statement), statement


def test_replayed_migrations_give_the_present_format(place: Place) -> None:
    connection = connect(place, create=True, read_only=False, environ={})
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def test_migrating_again_changes_nothing(place: Place) -> None:
    connection = connect(place, create=True, read_only=False, environ={})
    before = schema_of(connection)
    _migrate(connection, place.database)
    assert schema_of(connection) == before
    connection.close()


def test_migrating_what_somebody_newer_migrated_meanwhile_changes_nothing(place: Place) -> None:
    connection = connect(place, create=True, read_only=False, environ={})
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 3}")
    _migrate(connection, place.database)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION + 3,)
    connection.close()


def test_database_of_format_3_moves_on_with_its_jobs_in_the_queue_default(place: Place) -> None:
    connection = raw(place.database)
    for number in (1, 2, 3):
        connection.executescript((MIGRATIONS / f"{number:04d}.sql").read_text(encoding="utf-8"))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 3")
    connection.execute(
        "INSERT INTO job (name, revision, max_running, keep, locks, created_at, changed_at)"
        " VALUES ('old', 1, 1, '30d', 'db', 0, 0)"
    )
    values = json.loads(document_from_definition(definition(keep="30d", locks=("db",))))
    del values["queue"]
    connection.execute("INSERT INTO definition VALUES (1, 1, 0, ?, NULL)", (json.dumps(values),))
    connection.close()
    place.database.chmod(0o600)
    store = open_store(place, environ={})
    old = store.job("old")
    assert old.definition == definition(keep="30d", locks=("db",))
    assert redefine(store, "old", queue="gpu").definition.queue == "gpu"
    store.close()
    connection = raw(place.database)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert connection.execute("SELECT keep, locks, queue FROM job").fetchall() == [("30d", "db", "gpu")]
    connection.close()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", []),
        ("SELECT 1;\nSELECT 2;\n", ["SELECT 1;\n", "SELECT 2;\n"]),
        ("-- a; b\nSELECT\n  ';';\n", ["-- a; b\nSELECT\n  ';';\n"]),
    ],
)
def test_statements_are_split_where_they_end(script: str, expected: list[str]) -> None:
    assert list(statements(script)) == expected


@pytest.mark.parametrize("read_only", [False, True])
def test_newer_database_is_refused_and_left_alone(place: Place, read_only: bool) -> None:
    store = open_store(place, create=True, environ={})
    add(store)
    store.close()
    connection = raw(place.database)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    before = place.database.read_bytes()
    with pytest.raises(StoreTooNew, match="newer cronq") as caught:
        open_store(place, read_only=read_only, environ={})
    assert "upgrade" in caught.value.hint
    assert place.database.read_bytes() == before


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE notes (text TEXT)",
        "PRAGMA user_version = 4",
        "PRAGMA application_id = 77",
        "PRAGMA user_version = -1",
    ],
)
def test_foreign_database_is_refused_and_left_alone(place: Place, script: str) -> None:
    connection = raw(place.database)
    connection.execute(script)
    connection.close()
    before = place.database.read_bytes()
    with pytest.raises(StoreCorrupt, match="not one of cronq's"):
        open_store(place, create=True, environ={})
    assert place.database.read_bytes() == before


@pytest.mark.parametrize("create", [False, True])
def test_empty_file_becomes_a_database(place: Place, create: bool) -> None:
    place.database.touch(0o600)
    store = open_store(place, create=create, environ={})
    assert add(store) == store.job("job")
    store.close()
    connection = raw(place.database)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_empty_file_that_is_only_read_stays_empty(place: Place) -> None:
    place.database.touch(0o600)
    with pytest.raises(StoreMissing, match="is empty") as caught:
        open_store(place, read_only=True, environ={})
    assert "cronq add" in caught.value.hint
    assert place.database.stat().st_size == 0
