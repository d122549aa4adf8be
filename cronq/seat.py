"""A node's folder on its host: taken by a lock, so that a node finds what the one before it left there.

The first free one is taken: a node that is started again after it was killed sits where it sat, and looks
after the attempts that go on there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cronq import lock
from cronq.errors import SchedulerRunning, StoreFull
from cronq.store import Place
from cronq.store.postgres.address import Address
from cronq.store.postgres.location import ledger_folder, seat_of
from cronq.worker import liveness

MOST = 1000
"""Nodes of one ledger on one host; more is a loop that went wrong."""


class Seat(NamedTuple):
    """A seat that is taken, as long as `hold` is not released."""

    number: int
    place: Place
    hold: lock.Hold


def take_seat(address: Address, rule: str, environ: Mapping[str, str]) -> Seat:
    """Take the first seat that is free. Raises: StoreFull, StoreUntrusted."""
    for number in range(1, MOST + 1):
        place = seat_of(address, rule, number, environ)
        try:
            place.database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreFull(f"cannot make the folder {place.database.parent}: {error.strerror}") from error
        try:
            return Seat(number, place, lock.hold(place.lock))
        except SchedulerRunning:
            continue
    raise StoreFull(f"{MOST} nodes live on this host already")


def is_deserted(address: Address, rule: str, number: int, environ: Mapping[str, str]) -> bool:
    """Return whether neither a node nor anything that it began lives in a seat; asks the kernel."""
    place = seat_of(address, rule, number, environ)
    return not lock.is_held(place.lock) and liveness.is_deserted(place)


def seats_of(address: Address, rule: str, environ: Mapping[str, str]) -> dict[int, Place]:
    """Return the seats that there are on this host, taken or not, by number."""
    try:
        names = [path.name for path in ledger_folder(address, environ).iterdir()]
    except OSError:
        return {}
    numbers = sorted(int(name) for name in names if name.isdecimal())
    return {number: seat_of(address, rule, number, environ) for number in numbers}
