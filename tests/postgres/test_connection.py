"""A connection that is lost, late, frozen or refused: nothing half is written, and the next one works."""

from __future__ import annotations

import itertools
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors as pg

from cronq.errors import (
    CronqError,
    InvariantError,
    JobExists,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreMissing,
    StoreUnreachable,
    UsageError,
)
from cronq.store import Place, Store
from cronq.store.connection import group, snapshot, transaction
from cronq.store.postgres.address import Address, parse_address
from cronq.store.postgres.connection import Connection, connect
from cronq.store.postgres.errors import KeyTaken, meaning_of
from cronq.store.postgres.migrating import migrate
from cronq.store.postgres.store import PostgresStore
from tests.postgres import faults
from tests.postgres.server import Server
from tests.unit.store.builders import NOW, add, claim_one, finish, start

PATH = Path("/no/such/file")
WRITE = "INSERT INTO fact (name, value) VALUES (?, ?)"
READ = "SELECT value FROM fact WHERE name = ?"
_numbers = itertools.count(1)

Connect = Callable[..., Connection]


@pytest.fixture
def address(postgres: Server) -> Iterator[Address]:
    """A ledger of the test's own."""
    schema = f"c{next(_numbers)}"
    made = parse_address(f"{postgres.url}&schema={schema}", "test")
    db = Connection(made)
    migrate(db)
    db.close()
    yield made
    postgres.drop_schema(schema)


@pytest.fixture
def connected(address: Address) -> Iterator[Connect]:
    made: list[Connection] = []

    def make(**times: float) -> Connection:
        made.append(Connection(address, **times))
        return made[-1]

    yield make
    for db in made:
        db.close()


@pytest.fixture
def db(connected: Connect) -> Connection:
    return connected()


def value_of(db: Connection, name: str) -> str | None:
    row = db.execute(READ, (name,)).fetchone()
    return None if row is None else str(row[0])


# Lost


@pytest.mark.parametrize("lose", [faults.end_session, faults.cut])
@pytest.mark.parametrize("then", [WRITE, "COMMIT"])
def test_lost_inside_a_transaction_nothing_is_written(
    db: Connection, lose: Callable[[Connection], None], then: str
) -> None:
    def write_and_lose() -> None:
        with transaction(db, PATH):  # type: ignore[arg-type]
            db.execute(WRITE, ("a", "1"))
            lose(db)
            if then == WRITE:
                db.execute(WRITE, ("b", "2"))

    with pytest.raises(StoreUnreachable):
        write_and_lose()
    assert not db.in_transaction
    assert value_of(db, "a") is None
    with transaction(db, PATH):  # type: ignore[arg-type]
        db.execute(WRITE, ("a", "3"))
    assert value_of(db, "a") == "3"


@pytest.mark.parametrize("how", faults.KINDS)
@pytest.mark.parametrize("statement", range(4))
def test_lost_at_any_statement_of_a_transaction(db: Connection, how: str, statement: int) -> None:
    def write() -> None:
        with transaction(db, PATH):  # type: ignore[arg-type]
            for name in ("a", "b"):
                db.execute(WRITE, (name, how))

    faults.doom(db, statement, how)
    with pytest.raises(StoreUnreachable):
        write()
    assert not db.in_transaction
    # The answer to COMMIT was lost, but COMMIT was not: who asks again is told so by the key.
    if (statement, how) == (3, "answer"):
        with pytest.raises(KeyTaken):
            write()
    else:
        assert value_of(db, "a") is None
        write()
    assert (value_of(db, "a"), value_of(db, "b")) == (how, how)


@pytest.mark.parametrize("lose", [faults.end_session, faults.cut])
def test_lost_outside_a_transaction_it_is_connected_again(
    db: Connection, lose: Callable[[Connection], None]
) -> None:
    lose(db)
    with pytest.raises(StoreUnreachable):
        value_of(db, "format")
    assert value_of(db, "format") is not None


def test_lost_inside_a_snapshot(db: Connection) -> None:
    def look_twice() -> None:
        with snapshot(db, PATH):  # type: ignore[arg-type]
            value_of(db, "format")
            faults.end_session(db)
            value_of(db, "format")

    with pytest.raises(StoreUnreachable):
        look_twice()
    assert value_of(db, "format") is not None


def test_an_error_of_the_block_is_the_one_that_is_told(db: Connection) -> None:
    def fail() -> None:
        with transaction(db, PATH):  # type: ignore[arg-type]
            faults.cut(db)
            raise JobExists("of the block")

    with pytest.raises(JobExists):
        fail()
    assert value_of(db, "format") is not None


def test_news_of_a_lost_connection(db: Connection) -> None:
    assert list(db.news()) == []
    faults.end_session(db)
    with pytest.raises(StoreUnreachable):
        # The server's last words may come first.
        [list(db.news()) for _ in range(3)]
    with pytest.raises(StoreUnreachable):
        db.fileno()
    assert value_of(db, "format") is not None
    assert db.fileno() > 2


def test_a_server_that_comes_back(own_postgres: Server) -> None:
    address = parse_address(own_postgres.url, "test")
    db = Connection(address)
    migrate(db)
    own_postgres.stop(immediate=True)
    for _ in range(2):
        with pytest.raises(StoreUnreachable):
            value_of(db, "format")
    own_postgres.start()
    assert value_of(db, "format") is not None
    db.close()


# Busy, frozen


def test_a_turn_that_does_not_come(connected: Connect) -> None:
    holder, other = connected(), connected(patience_s=0.2)
    with transaction(holder, PATH):  # type: ignore[arg-type]
        began = time.monotonic()
        with pytest.raises(StoreBusy, match="busy"), transaction(other, PATH):  # type: ignore[arg-type]
            raise AssertionError
        assert 0.1 < time.monotonic() - began < 5
        assert not other.in_transaction
        assert value_of(other, "format") is not None, "readers wait for nobody"
    with transaction(other, PATH):  # type: ignore[arg-type]
        other.execute(WRITE, ("a", "1"))
    assert value_of(holder, "a") == "1"


def test_ledgers_in_one_database_do_not_wait_for_each_other(postgres: Server, db: Connection) -> None:
    schema = f"c{next(_numbers)}"
    other = Connection(parse_address(f"{postgres.url}&schema={schema}", "test"), patience_s=0.2)
    with transaction(db, PATH):  # type: ignore[arg-type]
        migrate(other)
    other.close()
    postgres.drop_schema(schema)


def test_who_is_frozen_in_a_transaction_holds_up_nobody_for_long(connected: Connect) -> None:
    frozen, other = connected(frozen_s=0.3), connected(patience_s=10)

    def freeze() -> None:
        with transaction(frozen, PATH):  # type: ignore[arg-type]
            frozen.execute(WRITE, ("a", "frozen"))
            with transaction(other, PATH):  # type: ignore[arg-type]
                other.execute(WRITE, ("a", "other"))
            frozen.execute(WRITE, ("b", "frozen"))

    with pytest.raises(StoreUnreachable):
        freeze()
    assert (value_of(frozen, "a"), value_of(frozen, "b")) == ("other", None)


# Writers


def add_up(address: Address, count: int) -> None:
    db = Connection(address)
    for _ in range(count):
        with transaction(db, PATH):  # type: ignore[arg-type]
            before = int(value_of(db, "sum") or 0)
            db.execute("UPDATE fact SET value = ? WHERE name = 'sum'", (str(before + 1),))
    db.close()


def test_two_processes_lose_no_update(db: Connection, address: Address) -> None:
    with transaction(db, PATH):  # type: ignore[arg-type]
        db.execute(WRITE, ("sum", "0"))
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=add_up, args=(address, 150)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert value_of(db, "sum") == "300"


@pytest.mark.parametrize("level", ["serializable", "repeatable read"])
def test_a_writer_sees_the_writer_before_it_whatever_the_server_prefers(
    postgres: Server, address: Address, connected: Connect, level: str
) -> None:
    first, second = connected(), connected()
    second.plain(f"SET default_transaction_isolation = '{level}'")
    seen: list[str | None] = []

    def look() -> None:
        with transaction(second, PATH):  # type: ignore[arg-type]
            seen.append(value_of(second, "a"))

    thread = threading.Thread(target=look)
    with transaction(first, PATH):  # type: ignore[arg-type]
        first.execute(WRITE, ("a", "1"))
        thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while postgres.execute(postgres.url, waiting) == [(0,)]:
            time.sleep(0.01)
    thread.join()
    assert seen == ["1"]


# Groups


@pytest.fixture
def store(address: Address, tmp_path: Path) -> Iterator[Store]:
    place = Place(tmp_path / "node", tmp_path / "logs", "test", address=address)
    store = PostgresStore(Connection(address), place)
    yield store
    store.close()


def test_a_part_that_fails_takes_all_parts_back(store: Store) -> None:
    add(store, "a")

    def go_on() -> None:
        with store.together():
            store.trigger(["a"], now=NOW)
            with pytest.raises(JobExists):
                add(store, "a")

    with pytest.raises(InvariantError, match="went on"):
        go_on()
    assert store.totals().queued == 0

    def fail() -> None:
        with store.together():
            store.trigger(["a"], now=NOW)
            add(store, "a")

    with pytest.raises(JobExists):
        fail()
    assert store.totals().queued == 0
    store.trigger(["a"], now=NOW)
    assert store.totals().queued == 1


@pytest.mark.parametrize("how", faults.KINDS)
@pytest.mark.parametrize("statement", range(8))
def test_a_turn_that_is_lost_is_lost_as_a_whole(store: PostgresStore, how: str, statement: int) -> None:
    add(store, "a")
    store.trigger(["a"], now=NOW)
    claim = claim_one(store)

    def turn() -> None:
        with store.together():
            store.record([start(claim)], [])
            finish(store, claim)
            store.trigger(["a"], now=NOW)
            add(store, "b")

    faults.doom(store.connection, statement, how)
    with pytest.raises(StoreUnreachable):
        turn()
    assert (store.totals().running, store.totals().queued, store.totals().jobs) == (1, 0, 1)
    turn()
    assert (store.totals().running, store.totals().queued, store.totals().jobs) == (0, 1, 2)


def test_a_commit_that_rolled_back_is_none(db: Connection) -> None:
    def swallow() -> None:
        with transaction(db, PATH):  # type: ignore[arg-type]
            db.execute(WRITE, ("a", "1"))
            with pytest.raises(KeyTaken):
                db.execute(WRITE, ("a", "2"))

    with pytest.raises(InvariantError, match="rolled back"):
        swallow()
    assert value_of(db, "a") is None
    with group(db, PATH):  # type: ignore[arg-type]
        pass


# Refused


def test_a_server_that_only_reads_cannot_be_written(db: Connection) -> None:
    db.plain("SET default_transaction_read_only = on")  # as on a standby
    with pytest.raises(StoreUnreachable), transaction(db, PATH):  # type: ignore[arg-type]
        db.execute(WRITE, ("a", "1"))
    assert value_of(db, "a") is None


def test_an_answer_in_pieces(db: Connection) -> None:
    cursor = db.cursor()
    assert cursor.fetchmany(1) == []
    cursor.execute("SELECT value FROM fact WHERE name = 'format' AND ? = ?", ("x", "x"))
    assert len(cursor.fetchmany(5)) == 1
    assert cursor.fetchmany(5) == []
    cursor.close()
    with pytest.raises(InvariantError):
        db.cursor().execute("SELEC")


def test_each_transaction_behind_pgbouncer_makes_its_settings(address: Address) -> None:
    db = Connection(address._replace(listens=False))
    # Another session than that of the start: it has none of them.
    db._connection.execute("DISCARD ALL")
    assert value_of(db, "format") is not None
    assert db.execute("SELECT count(*) FROM job").fetchone() == (0,)
    with pytest.raises(KeyTaken):
        db.execute(WRITE, ("format", "1"))
    with transaction(db, PATH):  # type: ignore[arg-type]
        db.execute(WRITE, ("a", "1"))
        assert db.plain("SHOW idle_in_transaction_session_timeout").fetchone() == ("5s",)
    with snapshot(db, PATH):  # type: ignore[arg-type]
        assert value_of(db, "a") == "1"
    assert db._connection.execute("SHOW search_path").fetchone() != (address.schema,)
    db.close()


def test_nobody_there(tmp_path: Path) -> None:
    address = parse_address(f"postgresql://u:s3cret@/d?host={tmp_path}", "test")
    with pytest.raises(StoreUnreachable) as refused:
        connect(address)
    assert "s3cret" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize(
    ("error", "meant"),
    [
        (pg.LockNotAvailable(), StoreBusy),
        (pg.DeadlockDetected(), StoreBusy),
        (pg.SerializationFailure(), StoreBusy),
        (pg.QueryCanceled(), StoreBusy),
        (pg.UndefinedTable(), StoreMissing),
        (pg.UndefinedColumn(), StoreMissing),
        (pg.InvalidSchemaName(), StoreMissing),
        (pg.DiskFull(), StoreFull),
        (pg.OutOfMemory(), StoreFull),
        (pg.InsufficientPrivilege(), StoreFull),
        (pg.TooManyConnections(), StoreUnreachable),
        (pg.ReadOnlySqlTransaction(), StoreUnreachable),
        (pg.AdminShutdown(), StoreUnreachable),
        (pg.CrashShutdown(), StoreUnreachable),
        (pg.CannotConnectNow(), StoreUnreachable),
        (pg.IdleInTransactionSessionTimeout(), StoreUnreachable),
        (pg.IoError(), StoreUnreachable),
        (psycopg.OperationalError("server closed the connection"), StoreUnreachable),
        (pg.DataCorrupted(), StoreCorrupt),
        (pg.IndexCorrupted(), StoreCorrupt),
        (pg.NumericValueOutOfRange(), UsageError),
        (pg.CharacterNotInRepertoire(), UsageError),
        (pg.UniqueViolation(), KeyTaken),
        (pg.CheckViolation(), InvariantError),
        (pg.ForeignKeyViolation(), InvariantError),
        (pg.SyntaxError(), InvariantError),
        (pg.InFailedSqlTransaction(), InvariantError),
        (psycopg.Error("?"), StoreError),
    ],
)
def test_what_errors_mean(error: psycopg.Error, meant: type[CronqError]) -> None:
    mapped = meaning_of(error, "postgresql://u@h/d")
    assert type(mapped) is meant
