"""One SQLite connection: creation without races, durability, migrations, and errors in cronq's words.

Facts this relies on: WAL with `synchronous=FULL` loses no commit at a power cut (sqlite.org/pragma.html);
a transaction that begins deferred and writes later fails at once with "database is locked", so every writing
one begins IMMEDIATE; the database file is never opened by hand, because closing any descriptor of it would
drop SQLite's locks (sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from cronq import clock
from cronq.errors import (
    CronqError,
    InvariantError,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreMissing,
    StoreTooNew,
    UsageError,
)
from cronq.store.location import Place, check_file_system, check_trust, require_database
from cronq.store.swapping import draft_for, kept_beside, put_in_place

APPLICATION_ID = 0x63726E71
"""`crnq`: lets file(1), and us, tell a cronq database from any other SQLite file."""

MIGRATIONS = Path(__file__).with_name("migrations")
SCHEMA_VERSION = 4
LOG_SIZE_LIMIT = 16 * 1024 * 1024
"""What a write-ahead log may keep of the disk once all of it is in the database."""
BUSY_TIMEOUT_S = 10.0
SCHEDULER_PATIENCE_S = 1.0
BUSY_PATIENCE_S = 30.0
"""How long a writer goes on asking when SQLite's own waiting, which is not fair, was unlucky."""

_BUSY = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL"})
CORRUPT = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT"})
_UNWRITABLE = frozenset({"SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PERM"})


class Connection(sqlite3.Connection):
    """A connection that knows how long its transactions may wait for their turn.

    Attributes:
        is_grouping: Transactions become parts of one that is committed at the end of `group`.
        has_failed: One of the parts has failed, so none of them may be committed.
    """

    patience_s: float = BUSY_PATIENCE_S
    is_grouping: bool = False
    has_failed: bool = False

    @staticmethod
    def is_taken(error: Exception) -> bool:
        """Return whether an error says that a unique key exists already."""
        return (
            isinstance(error, sqlite3.IntegrityError) and error.sqlite_errorname == "SQLITE_CONSTRAINT_UNIQUE"
        )


def connect(place: Place, *, create: bool, read_only: bool, environ: Mapping[str, str]) -> Connection:
    """Return a connection to a trusted database of the present version.

    Args:
        place: Where it is.
        create: Make the database, and its folder, if there is none.
        read_only: Refuse all writes through this connection; nothing is created.
        environ: For the list of trusted projects.

    Raises:
        StoreError: Its leaves say what is wrong.
    """
    with mapped_errors(place.database):
        if create and not place.database.exists():
            _create(place, environ)
        require_database(place)
        check_file_system(place, environ)
        check_trust(place, environ)
        connection = _open(place.database, read_only=read_only)
        try:
            _check_version(connection, place.database, read_only=read_only)
            connection.execute(f"PRAGMA query_only = {int(read_only)}")
        except BaseException:
            connection.close()
            raise
    return connection


def _open(path: Path, *, read_only: bool) -> Connection:
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    if not writable and not read_only:
        # SQLite says so only at the first write, and then in other words.
        raise StoreFull(f"{path} cannot be written: permission denied")
    mode = "mode=rw" if writable else "mode=ro"
    if not writable and not path.with_name(path.name + "-wal").exists():
        # Without a writable folder there can be no shared-memory file; nobody else can be writing either.
        mode += "&immutable=1"
    connection = sqlite3.connect(
        f"file:{quoted(path)}?{mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        cached_statements=256,
        factory=Connection,
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone does not reach the platter
        connection.execute("PRAGMA checkpoint_fullfsync = ON")
        # Only the scheduler checkpoints (see `serve_scheduler`): two at a time met a bug in SQLite < 3.51.3
        # (sqlite.org/wal.html#walresetbug).
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    except BaseException:
        connection.close()
        raise
    return connection


def quoted(path: Path) -> str:
    """Return a path as it stands in a `file:` URI (sqlite.org/uri.html)."""
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def serve_scheduler(connection: Connection) -> None:
    """Make this connection the scheduler's: it moves the write-ahead log, and never waits for long.

    The scheduler has signals and a watchdog to answer meanwhile, and tries again by itself.
    """
    connection.execute("PRAGMA journal_mode = WAL")  # a copy that somebody put in place by hand is not in it
    connection.execute("PRAGMA wal_autocheckpoint = 1000")
    connection.execute(f"PRAGMA journal_size_limit = {LOG_SIZE_LIMIT}")
    connection.execute(f"PRAGMA busy_timeout = {round(SCHEDULER_PATIENCE_S * 1000)}")
    connection.patience_s = 0.0


def _create(place: Place, environ: Mapping[str, str]) -> None:
    """Make an empty database, complete or not at all, whoever else does the same at this moment.

    It is built under another name and then linked into place: linking fails if the name is taken, so of
    twenty processes one wins, and nobody ever sees half a database. Dies: a stray temporary file.
    """
    database = place.database
    if not database.parent.exists():
        database.parent.parent.mkdir(parents=True, exist_ok=True)
        database.parent.mkdir(mode=0o700, exist_ok=True)
    check_file_system(place, environ)
    check_trust(place, environ)
    if kept := kept_beside(database):
        raise StoreMissing(
            f"there is no database at {database}, but one that was kept: {kept[-1]}",
            hint=f"cronq restore {kept[-1]}; or move it away to begin with an empty database",
        )
    with draft_for(database) as draft:
        connection = sqlite3.connect(draft, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            _migrate(connection, draft)
            # Only now: what a full disk kept in a write-ahead log would not be in the file that is linked.
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
        # What belonged to a database that is gone would be played into this one.
        put_in_place(draft, database, instead_of_leftovers=True)


def _check_version(connection: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
    version = check_application(connection, path)
    if version is None:
        if read_only:
            raise StoreMissing(f"{path} is empty", hint="the first `cronq add` makes a database of it")
        # An empty file, as mktemp(1) makes it. When several do the same, SQLite refuses all but one at once.
        _patiently(connection, "PRAGMA journal_mode = WAL")
    if version is None or version < SCHEMA_VERSION:
        _migrate(connection, path)


def check_application(connection: sqlite3.Connection, path: Path) -> int | None:
    """Return the format of a database of ours; None if it is empty.

    Raises:
        StoreCorrupt: It is somebody else's.
        StoreTooNew: By a newer cronq.
    """
    # At one instant: somebody may just be making an empty file a database of ours.
    with snapshot(connection, path):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID:
        if tables or application or version:
            raise StoreCorrupt(
                f"{path} is an SQLite database, but not one of cronq's", hint="name another file with --db"
            )
        return None
    if version > SCHEMA_VERSION:
        raise StoreTooNew(
            f"{path} was written by a newer cronq (format {version}, this one knows {SCHEMA_VERSION})",
            hint="upgrade cronq: pip install --upgrade cronq-cli",
        )
    return int(version)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Apply the migrations that are missing, in one transaction. Dies: the old version remains, whole."""
    with transaction(connection, path):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version >= SCHEMA_VERSION:
            return  # somebody else was faster, perhaps somebody newer
        for number in range(version + 1, SCHEMA_VERSION + 1):
            for statement in statements((MIGRATIONS / f"{number:04d}.sql").read_text(encoding="utf-8")):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def statements(script: str) -> Iterator[str]:
    """Yield the statements of a script; `executescript` would commit the transaction around them."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


class transaction:
    """Run the block in one writing transaction: all of it, or nothing.

    Raises:
        StoreError: As `mapped_errors`; StoreBusy only after `BUSY_PATIENCE_S`.
    """

    # A class and not a generator, here and below: each run passes through a dozen of them.
    __slots__ = ("_connection", "_is_part", "_path")

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._is_part = getattr(connection, "is_grouping", False)

    def __enter__(self) -> None:
        if not (self._is_part and self._connection.in_transaction):
            with mapped_errors(self._path):
                _begin(self._connection)

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if self._is_part:
            if error is not None:
                cast("Connection", self._connection).has_failed = True
        else:
            _end(self._connection, self._path, error)
        raise_mapped(error, self._path)


class group:
    """Make one transaction of those inside the block; nothing is locked before the first of them.

    What an inner one returns is durable only after the block.

    Raises:
        StoreError: As `transaction`; then nothing of it was done.
        InvariantError: An inner one failed, and the block went on; nothing was done.
    """

    __slots__ = ("_connection", "_path")

    def __init__(self, connection: Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def __enter__(self) -> None:
        self._connection.is_grouping = True
        self._connection.has_failed = False

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._connection.is_grouping = False
        if error is None and self._connection.has_failed:
            error = InvariantError("a part of a transaction failed, and the rest went on")
            _end(self._connection, self._path, error)
            raise error
        _end(self._connection, self._path, error)
        raise_mapped(error, self._path)


def _end(connection: sqlite3.Connection, path: Path, error: BaseException | None) -> None:
    """Commit, or roll back if the block or the commit itself failed."""
    with mapped_errors(path):
        try:
            if error is None and connection.in_transaction:
                connection.execute("COMMIT")
        finally:
            # A full disk rolls back by itself, and then ROLLBACK is an error of its own.
            if connection.in_transaction:
                connection.execute("ROLLBACK")


@contextlib.contextmanager
def snapshot(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """See the database as it is at one instant, also over several statements; may be nested."""
    with mapped_errors(path):
        is_inside_another = connection.in_transaction
        if is_inside_another:
            yield
            return
        connection.execute("BEGIN")
        try:
            yield
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _begin(connection: sqlite3.Connection) -> None:
    _patiently(connection, "BEGIN IMMEDIATE")


def _patiently(connection: sqlite3.Connection, statement: str) -> None:
    """Execute a statement that needs a turn, as often as it takes, within the patience of the connection."""
    patience_s = connection.patience_s if isinstance(connection, Connection) else BUSY_PATIENCE_S
    patience_ends = clock.monotonic() + patience_s
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            if family_of(error) not in _BUSY or clock.monotonic() > patience_ends:
                raise
            # Up to 20 ms, unlike the others': spreads the crowd.
            clock.sleep(0.001 + os.urandom(1)[0] / 13_000)
        else:
            return


class mapped_errors:
    """Turn errors of SQLite and of the file system into StoreErrors that name the database."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        raise_mapped(error, self._path)


def raise_mapped(error: BaseException | None, path: Path) -> None:
    """Raise what an error means; without effect if it means itself."""
    mapped = None if error is None else _mapped_error(error, path)
    if mapped is not None:
        raise mapped from error


def _mapped_error(error: BaseException, path: Path) -> CronqError | None:
    """Return an error in cronq's words; None: it is in them, or none of ours."""
    if isinstance(error, sqlite3.Error):
        return _store_error(error, path)
    if isinstance(error, CronqError):
        return None
    if isinstance(error, OSError):
        return StoreFull(f"{path}: {error.strerror or error}", hint=_hint_for(error.errno))
    if isinstance(error, UnicodeEncodeError):
        return UsageError("a text holds bytes that are not UTF-8; nothing was changed")
    if isinstance(error, OverflowError):
        return UsageError("a number is too large for the database; nothing was changed")
    return None


def family_of(error: sqlite3.Error) -> str:
    """Return the primary result code's name: extended ones are `SQLITE_BUSY_RECOVERY` and so on."""
    name = getattr(error, "sqlite_errorname", None) or ""
    return "_".join(name.split("_")[:2])


def _store_error(error: sqlite3.Error, path: Path) -> CronqError:
    family = family_of(error)
    if family in _BUSY:
        return StoreBusy(f"{path} is locked by another process", hint=f"who holds it: fuser -v {path}")
    if family in CORRUPT:
        return StoreCorrupt(
            f"{path} is damaged, or not a database ({error})",
            hint="restore a backup of it: cronq restore FILE",
        )
    if family == "SQLITE_FULL":
        return StoreFull(f"{path}: the disk is full", hint=_hint_for(errno.ENOSPC))
    if family in _UNWRITABLE and _is_full(path.parent):
        # SQLite's own words for no room for the shared-memory file are "disk I/O error".
        return StoreFull(f"{path}: the disk is full", hint=_hint_for(errno.ENOSPC))
    if family in _UNWRITABLE:
        return StoreFull(
            f"{path} cannot be read or written ({error})", hint="check the disk and its permissions"
        )
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return InvariantError(f"the ledger refused a row: {error}")
    return StoreError(f"{path}: {error}")


def _is_full(directory: Path) -> bool:
    try:
        space = os.statvfs(directory)
    except OSError:
        return False
    return space.f_bavail * space.f_frsize < 64 * 1024


def _hint_for(number: int | None) -> str:
    if number in {errno.ENOSPC, errno.EDQUOT}:
        return "free some space and try again; nothing was changed"
    if number in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return "name a place that you can write with --db, or CRONQ_DB"
    return ""
