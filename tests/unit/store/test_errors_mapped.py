"""Nothing of SQLite's or of the file system's leaves the store as it is."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq.errors import (
    CronqError,
    InvariantError,
    JobNotFound,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    UsageError,
)
from cronq.store.connection import mapped_errors

PATH = Path("/some/cronq.db")

PRIMARY: dict[str, type[CronqError]] = {
    "SQLITE_ERROR": StoreError,
    "SQLITE_INTERNAL": StoreError,
    "SQLITE_PERM": StoreFull,
    "SQLITE_ABORT": StoreError,
    "SQLITE_BUSY": StoreBusy,
    "SQLITE_LOCKED": StoreBusy,
    "SQLITE_NOMEM": StoreError,
    "SQLITE_READONLY": StoreFull,
    "SQLITE_INTERRUPT": StoreError,
    "SQLITE_IOERR": StoreFull,
    "SQLITE_CORRUPT": StoreCorrupt,
    "SQLITE_NOTFOUND": StoreError,
    "SQLITE_FULL": StoreFull,
    "SQLITE_CANTOPEN": StoreFull,
    "SQLITE_PROTOCOL": StoreBusy,
    "SQLITE_EMPTY": StoreError,
    "SQLITE_SCHEMA": StoreError,
    "SQLITE_TOOBIG": StoreError,
    "SQLITE_CONSTRAINT": StoreError,
    "SQLITE_MISMATCH": StoreError,
    "SQLITE_MISUSE": StoreError,
    "SQLITE_NOLFS": StoreError,
    "SQLITE_AUTH": StoreError,
    "SQLITE_FORMAT": StoreCorrupt,
    "SQLITE_RANGE": StoreError,
    "SQLITE_NOTADB": StoreCorrupt,
    "SQLITE_NOTICE": StoreError,
    "SQLITE_WARNING": StoreError,
}
"""What each primary result code means to a person (sqlite.org/rescode.html)."""

NOT_ERRORS = {"SQLITE_OK", "SQLITE_ROW", "SQLITE_DONE"}


def result_codes() -> list[str]:
    """Return all result codes that this Python knows; other constants share the prefix, not the numbers."""
    families = set(PRIMARY) | NOT_ERRORS
    codes = []
    for name in dir(sqlite3):
        family = "_".join(name.split("_")[:2])
        if family in families and (name in families or getattr(sqlite3, name) > 255):
            codes.append(name)
    return codes


def classes_of(base: type[Exception]) -> Iterator[type[Exception]]:
    yield base
    for child in base.__subclasses__():
        yield from classes_of(child)


def mapped(error: Exception) -> CronqError:
    with pytest.raises(CronqError) as caught, mapped_errors(PATH):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


def sqlite_error(code: str, kind: type[sqlite3.Error] = sqlite3.OperationalError) -> sqlite3.Error:
    error = kind("said by SQLite")
    error.sqlite_errorname = code
    return error


def test_primary_codes_are_all_here() -> None:
    # 0..28, of which OK is no error, and two are of other kinds: rescode.html.
    assert len(PRIMARY) == 28
    numbers = {getattr(sqlite3, name) for name in PRIMARY if hasattr(sqlite3, name)}
    assert numbers == set(range(1, 29))


@pytest.mark.parametrize("code", [code for code in result_codes() if code not in NOT_ERRORS])
def test_result_code_is_mapped_by_its_family(code: str) -> None:
    family = "_".join(code.split("_")[:2])
    if family in NOT_ERRORS:
        return
    error = mapped(sqlite_error(code))
    assert type(error) is PRIMARY[family]
    assert str(PATH) in error.message


def test_result_codes_include_extended_ones() -> None:
    assert {"SQLITE_BUSY_SNAPSHOT", "SQLITE_IOERR_FSYNC", "SQLITE_READONLY_DBMOVED"} <= set(result_codes())


@pytest.mark.parametrize("kind", list(dict.fromkeys(classes_of(sqlite3.Error))))
def test_exception_class_is_mapped(kind: type[Exception]) -> None:
    error = mapped(kind("without a result code"))
    wrong_use = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
    assert type(error) is (InvariantError if issubclass(kind, wrong_use) else StoreError)


@pytest.mark.parametrize("kind", [sqlite3.DatabaseError, sqlite3.OperationalError])
def test_damage_is_damage_whatever_class_says_it(kind: type[sqlite3.Error]) -> None:
    assert type(mapped(sqlite_error("SQLITE_NOTADB", kind))) is StoreCorrupt


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO])
def test_errors_of_the_file_system_are_mapped(number: int) -> None:
    error = mapped(OSError(number, "said by the kernel"))
    assert type(error) is StoreFull
    assert "said by the kernel" in error.message
    assert bool(error.hint) == (number != errno.EIO)


def test_values_that_sqlite_cannot_hold_are_the_requests_fault() -> None:
    assert type(mapped(OverflowError("too large"))) is UsageError
    assert type(mapped(UnicodeEncodeError("utf-8", "\udce9", 0, 1, "surrogate"))) is UsageError


def test_errors_of_cronq_pass() -> None:
    error = JobNotFound("no job")
    with pytest.raises(JobNotFound) as caught, mapped_errors(PATH):
        raise error
    assert caught.value is error


def test_errors_of_others_are_left_alone() -> None:
    with pytest.raises(ZeroDivisionError), mapped_errors(PATH):
        raise ZeroDivisionError
