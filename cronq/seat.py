"""A node's folder on its host: taken by a lock, so that a node finds what the one before it left there.

The first free one is taken: a node that is started again after it was killed sits where it sat, and looks
after the attempts that go on there.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cronq import lock
from cronq.errors import SchedulerRunning, StoreFull
from cronq.store import Place
from cronq.store.postgres.address import Address
from cronq.store.postgres.location import ledger_folder, seat_of
from cronq.worker import kernel, liveness
from cronq.worker.files import FILE_MODE

if TYPE_CHECKING:
    from cronq.store.postgres.living import Living
    from cronq.store.postgres.nodes import Node

MOST = 1000
"""Nodes of one ledger on one host; more is a loop that went wrong."""
_NAME = "name"


class Seat(NamedTuple):
    """A seat that is taken, as long as `hold` is not released.

    Attributes:
        name: The same for all that ever sit here, and for nobody anywhere else.
    """

    name: str
    place: Place
    hold: lock.Hold


def take_seat(address: Address, rule: str, environ: Mapping[str, str], role: str) -> Seat:
    """Take the first seat that is free, but none where something lives that a node of another role has begun.

    A worker of another queue, started for a moment, would end with it what it has nothing to do with.

    Args:
        address: Of the ledger.
        rule: Which rule found it.
        environ: Says where the folders are.
        role: What the node does, in any words that are the same for nodes that do the same.

    Raises:
        StoreFull: The folder cannot be used.
        StoreUntrusted: What is in the lock's place is not a file of ours.
    """
    folder = ledger_folder(address, environ)
    for number in range(1, MOST + 1):
        place = seat_of(address, rule, number, environ)
        try:
            place.database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreFull(f"cannot make the folder {place.database.parent}: {error.strerror}") from error
        try:
            hold = lock.hold(place.lock)
        except SchedulerRunning:
            continue
        try:
            if not liveness.is_deserted(place) and _role_in(place) != role:
                hold()
                continue
            _write_role(place, role)
            return Seat(f"{_name_of(folder)}/{number}", place, hold)
        except OSError as error:
            hold()
            raise StoreFull(f"cannot use the folder {folder}: {error.strerror}") from error
    raise StoreFull(f"{MOST} nodes live on this host already")


def _role_in(place: Place) -> str:
    try:
        return place.role.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _write_role(place: Place, role: str) -> None:
    if _role_in(place) != role:
        place.role.write_text(f"{role}\n", encoding="utf-8")
        place.role.chmod(FILE_MODE)


def is_of_this_boot(node: Node | Living) -> bool:
    """Return whether a node lives, or lived, on this host in this boot: then the kernel knows of it."""
    return (node.host, node.boot_id) == (os.uname().nodename, kernel.boot_id())


def is_known_dead(node: Node | Living, place: Place, environ: Mapping[str, str]) -> bool:
    """Return whether a node of this host is gone, whatever its lease says.

    Args:
        node: Of the ledger.
        place: Of the ledger, in a server.
        environ: Says where the folders are.
    """
    if place.address is None or not is_of_this_boot(node):
        return False
    return _vacant(place.address, place.rule, node.seat, environ) is not None


def is_deserted(address: Address, rule: str, name: str, environ: Mapping[str, str]) -> bool:
    """Return whether no node sits in a seat, and nothing lives that one has begun there; asks the kernel.

    False for the seats of other users, and of other folders: nobody here knows who sits there.
    """
    place = _vacant(address, rule, name, environ)
    return place is not None and liveness.is_deserted(place)


def _vacant(address: Address, rule: str, name: str, environ: Mapping[str, str]) -> Place | None:
    """Return a seat in which no node sits; None: one does, or nobody here knows."""
    place = place_of(address, rule, name, environ)
    return None if place is None or lock.is_held(place.lock) else place


def seats_of(address: Address, rule: str, environ: Mapping[str, str]) -> dict[str, Place]:
    """Return the seats that there are on this host, taken or not, by name."""
    folder = ledger_folder(address, environ)
    try:
        numbers = sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())
        return {f"{_name_of(folder)}/{number}": seat_of(address, rule, number, environ) for number in numbers}
    except OSError:
        return {}


def place_of(address: Address, rule: str, name: str, environ: Mapping[str, str]) -> Place | None:
    """Return a seat by its name; None if it is none of this folder's."""
    return seats_of(address, rule, environ).get(name)


def _name_of(folder: Path) -> str:
    """Return what a folder of seats is called, which is made up when it is first asked.

    The name of the host is not enough: each of its users has a folder, and two hosts may have one name.

    Raises:
        OSError: It can be neither read nor written.
    """
    path = folder / _NAME
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        name = secrets.token_hex(8)
        draft = folder / f"{_NAME}.{name}"
        draft.write_text(f"{name}\n", encoding="ascii")
        draft.chmod(FILE_MODE)
        try:
            os.link(draft, path)  # one of those who try at once succeeds
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        return path.read_text(encoding="ascii").strip()
