"""The schema in the server: made, brought up to date, and refused if it is a newer one."""

from __future__ import annotations

from cronq.errors import StoreMissing, StoreTooNew
from cronq.store.postgres.connection import MIGRATIONS, SCHEMA_VERSION, Connection
from cronq.store.postgres.messages import put_expression
from cronq.store.postgres.procrastinate_schema import install, making, upgrade


def version_of(connection: Connection) -> int | None:
    """Return the format of the ledger in the server; None if there is none."""
    schema = connection.address.schema
    found = connection.plain("SELECT to_regclass(%s) IS NOT NULL", (f'"{schema}".fact',)).fetchone()
    if not found or not found[0]:
        return None
    row = connection.plain("SELECT value FROM fact WHERE name = 'format'").fetchone()
    return None if row is None else int(row[0])


def require_schema(connection: Connection, *, create: bool) -> None:
    """Return if the ledger is of the present format.

    Args:
        connection: To the server.
        create: Make it if there is none.

    Raises:
        StoreMissing: There is none, or an older one.
        StoreTooNew: It is of a newer cronq.
    """
    version = version_of(connection)
    shown, schema = connection.address.shown, connection.address.schema
    if version is None:
        if not create:
            raise StoreMissing(
                f"there is no ledger at {shown} (schema {schema})",
                hint="make it: cronq db migrate; the first `cronq add` does so, too",
            )
        migrate(connection)
    elif version < SCHEMA_VERSION:
        raise StoreMissing(
            f"the ledger at {shown} is of an older cronq (format {version}, this one needs {SCHEMA_VERSION})",
            hint="stop all nodes of the older one, then: cronq db migrate",
        )
    else:
        _refuse_newer(version, shown)


def migrate(connection: Connection) -> tuple[int | None, int]:
    """Bring the ledger, and what Procrastinate needs, up to date, in one transaction.

    Returns:
        The format before (None: there was none) and after.

    Raises:
        StoreTooNew: It is of a newer cronq.
    """
    schema = connection.address.schema
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.plain(making(schema))
        before = version_of(connection)
        _refuse_newer(before or 0, connection.address.shown)
        for number in range((before or 0) + 1, SCHEMA_VERSION + 1):
            connection.plain((MIGRATIONS / f"{number:04d}.sql").read_text(encoding="utf-8"))
        if before is None:
            install(connection.raw, schema)
            connection.plain(_wire())
        else:
            upgrade(connection.raw, schema)
        connection.plain(
            "INSERT INTO fact (name, value) VALUES ('format', %s)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (str(SCHEMA_VERSION),),
        )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return before, SCHEMA_VERSION


def _wire() -> str:
    queue = "coalesce((SELECT job.queue FROM job WHERE job.id = job_id), 'default')"
    text = (MIGRATIONS / "wire.sql").read_text(encoding="utf-8")
    return text.replace("{put}", put_expression("run_id", queue, "priority"))


def _refuse_newer(version: int, shown: str) -> None:
    if version > SCHEMA_VERSION:
        raise StoreTooNew(
            f"{shown} was written by a newer cronq (format {version}, this one knows {SCHEMA_VERSION})",
            hint="upgrade cronq: pip install --upgrade 'cronq-cli[postgres]'",
        )
