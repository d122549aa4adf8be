"""Installing and upgrading Procrastinate's tables."""

from __future__ import annotations

from typing import Any

import pytest

from cronq.store.postgres import procrastinate_schema as schema
from tests.wire.conftest import Base, Server, psycopg


def functions_and_tables(connection: Any, name: str) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = connection.execute(
        "SELECT proname, pg_get_function_arguments(oid), regexp_replace(prosrc, '\\s+', '', 'g') FROM pg_proc"
        " WHERE pronamespace = %(name)s::regnamespace UNION ALL"
        " SELECT relname, relkind::text, (SELECT string_agg(attname, ',' ORDER BY attname)"
        "   FROM pg_attribute WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped)"
        " FROM pg_class WHERE relnamespace = %(name)s::regnamespace ORDER BY 1, 2",
        {"name": f'"{name}"'},
    ).fetchall()
    return rows


def test_installing_is_part_of_the_transaction(server: Server) -> None:
    with psycopg.connect(server.conninfo) as connection:
        schema.install(connection, "undone")
        assert schema.installed_migration(connection, "undone") == max(schema.shipped_migrations())
        connection.rollback()
        assert schema.installed_migration(connection, "undone") is None


def test_path_is_as_before(server: Server) -> None:
    with psycopg.connect(server.conninfo) as connection:
        before = connection.execute("SHOW search_path").fetchone()
        schema.install(connection, 'a "quoted" name')
        assert connection.execute("SHOW search_path").fetchone() == before
        connection.rollback()


def test_nothing_newer_changes_nothing(base: Base) -> None:
    before = functions_and_tables(base.connection, base.schema)
    with base.connection.transaction():
        assert schema.upgrade(base.connection, base.schema) == []
    assert functions_and_tables(base.connection, base.schema) == before


def test_who_cannot_say_what_it_contains_is_not_upgraded(base: Base) -> None:
    base.connection.execute("COMMENT ON TABLE procrastinate_jobs IS NULL")
    with pytest.raises(LookupError, match="does not say"):
        schema.upgrade(base.connection, base.schema)
    last = max(schema.shipped_migrations())
    assert schema.upgrade(base.connection, base.schema, since=last) == []


def test_migrations_of_version_3_fit_into_one_transaction(base: Base) -> None:
    """Although an upgrade begins at 3.9 or later."""
    name = "from nothing"
    old = {key: text for key, text in schema.shipped_migrations().items() if key < "03"}
    with psycopg.connect(
        base.conninfo, autocommit=True, options='-c search_path="from\\ nothing"'
    ) as connection:
        connection.execute(f'CREATE SCHEMA "{name}"')
        try:
            for text in old.values():
                connection.execute(text)
            with connection.transaction():
                names = schema.upgrade(connection, name, since=max(old))
            assert [*old, *names] == list(schema.shipped_migrations())
            assert schema.installed_migration(connection, name) == names[-1]
            # Old tables have their columns in another order, and old functions may stay.
            made = functions_and_tables(connection, name)
            wanted = functions_and_tables(base.connection, base.schema)
            current = {row[0] for row in wanted if not str(row[0]).endswith(("_key", "_fkey"))}
            assert current <= {row[0] for row in made}
        finally:
            connection.execute(f'DROP SCHEMA "{name}" CASCADE')
