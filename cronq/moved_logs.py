"""What attempts printed, from files into a table and back: a server keeps it itself, for all hosts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

from cronq.errors import StoreError, StoreFull
from cronq.model import AttemptKey
from cronq.store import Place
from cronq.store.copying import OUTPUT, End, Row
from cronq.worker.files import open_private
from cronq.worker.spool import sweep

COLUMNS = ("run_id", "attempt", "position", "data")
"""Of the table `output`; `position` is where in the log a piece begins."""
_IS_SHIPPED = "SELECT is_shipped FROM attempt WHERE run_id = ? AND attempt = ?"
_SHIPPED = "UPDATE attempt SET is_shipped = TRUE WHERE run_id = ? AND attempt = ?"
_REMOVE = "DELETE FROM output WHERE run_id = ? AND attempt = ?"
PIECE = 65_536
_RUNS = 1000
"""Runs that have their logs in one folder."""


def pieces(place: Place, source: End) -> Iterator[Row]:
    """Yield the logs of all attempts, in pieces; nobody is at work.

    Raises:
        StoreError: A log cannot be read.
    """
    sweep(place, frozenset())  # what a worker that was killed left has no name yet
    for key in _known(place, source):
        yield from _pieces_of(place, key)


def _known(place: Place, source: End) -> Iterator[AttemptKey]:
    """Yield the attempts that may have logs there, in their order."""
    for first in _thousands(place):
        known = source.execute(
            "SELECT run_id, attempt FROM attempt WHERE run_id >= ? AND run_id < ? ORDER BY run_id, attempt",
            (first, first + _RUNS),
        )
        yield from ((run_id, attempt) for run_id, attempt in known)


def _thousands(place: Place) -> list[int]:
    try:
        return sorted(int(path.name) * _RUNS for path in place.logs.iterdir() if path.name.isdecimal())
    except OSError:
        return []


def _pieces_of(place: Place, key: AttemptKey) -> Iterator[Row]:
    path = place.log_file(*key)
    try:
        fd = open_private(path, os.O_RDONLY)
    except FileNotFoundError:
        return  # it printed nothing
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}", hint="nothing was changed") from error
    try:
        at = 0
        while data := os.pread(fd, PIECE, at):
            yield (*key, at, data)
            at += len(data)
    finally:
        os.close(fd)


def write(place: Place, rows: Iterable[Row]) -> int:
    """Write pieces, which come in their order, into log files; return how many files.

    Where there is a log it stays. What is left out between two pieces is said, as people read it.

    Raises:
        StoreFull: One cannot be written.
    """
    written, key, fd, at = 0, None, -1, 0
    try:
        for run_id, attempt, position, data in rows:
            if (run_id, attempt) != key:
                _close(fd)
                key, fd, at = (run_id, attempt), -1, 0
                if not place.log_file(*key).exists():
                    fd = open_private(place.log_file(*key), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                    written += 1
            if fd == -1:
                continue
            if position > at:
                _put(fd, f"\n[cronq: {position - at:,} bytes are left out here]\n".encode())
            _put(fd, data)
            at = position + len(data)
    except OSError as error:
        raise StoreFull(f"a log in {place.logs} cannot be written: {error.strerror}") from error
    finally:
        _close(fd)
    return written


def _put(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def collect(seats: Iterable[Place], target: Place, source: End) -> int:
    """Copy the logs that nodes have on this host, unless they are there by now; return how many.

    Raises:
        StoreError: One cannot be read or written.
    """
    collected = 0
    for seat, key in _in_seats(seats, source):
        if not target.log_file(*key).exists():
            collected += write(target, _pieces_of(seat, key))
    return collected


def bring(seats: Iterable[Place], source: End, target: End) -> None:
    """Put the logs that nodes have on this host, and that were not shipped yet, into another server.

    Raises:
        StoreError: One cannot be read or written.
    """
    for seat, key in _in_seats(seats, source):
        ((is_shipped,),) = source.execute(_IS_SHIPPED, key)
        if not is_shipped:
            target.execute(_REMOVE, key)
            target.insert(OUTPUT.name, COLUMNS, _pieces_of(seat, key))
            target.execute(_SHIPPED, key)


def _in_seats(seats: Iterable[Place], source: End) -> Iterator[tuple[Place, AttemptKey]]:
    """Yield the attempts that have logs in seats, with the seat."""
    for seat in seats:
        sweep(seat, frozenset())  # what a worker that was killed left has no name yet
        for key in _known(seat, source):
            if seat.log_file(*key).exists():
                yield seat, key


def _close(fd: int) -> None:
    with suppress(OSError):
        os.close(fd)
