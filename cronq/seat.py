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
from cronq.store.postgres.living import LEDGER_NAME, living_nodes
from cronq.store.postgres.location import seat_in, seats_folder
from cronq.worker import kernel, liveness
from cronq.worker.files import FILE_MODE

if TYPE_CHECKING:
    from cronq.store.postgres.connection import Connection
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


class Seats:
    """The seats of one ledger on this host, those of this user."""

    def __init__(self, place: Place, ledger: str, environ: Mapping[str, str]) -> None:
        """Name them.

        Args:
            place: Of the ledger, in a server.
            ledger: Its own name: what is in a seat speaks of runs by their numbers, which each ledger has.
            environ: Says where the folders are.
        """
        self._place = place
        self._folder = seats_folder(environ) / ledger

    def take(self, role: str) -> Seat:
        """Take the first seat that is free, but none where something lives that another role has begun.

        A worker of another queue, started for a moment, would end with it what it has nothing to do with.

        Args:
            role: What the node does, in any words that are the same for nodes that do the same.

        Raises:
            StoreFull: The folder cannot be used.
            StoreUntrusted: What is in the lock's place is not a file of ours.
        """
        for number in range(1, MOST + 1):
            place = seat_in(self._folder, number, self._place)
            folder = place.database.parent
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise StoreFull(f"cannot make the folder {folder}: {error.strerror}") from error
            try:
                hold = lock.hold(place.lock)
            except SchedulerRunning:
                continue
            try:
                if not liveness.is_deserted(place) and _role_in(place) != role:
                    hold()
                    continue
                _write_role(place, role)
                return Seat(f"{_name_of(self._folder)}/{number}", place, hold)
            except OSError as error:
                hold()
                raise StoreFull(f"cannot use the folder {self._folder}: {error.strerror}") from error
        raise StoreFull(f"{MOST} nodes live on this host already")

    def all(self) -> dict[str, Place]:
        """Return the seats that there are, taken or not, by name."""
        try:
            numbers = sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdecimal())
            name = _name_of(self._folder)
        except OSError:
            return {}
        return {f"{name}/{number}": seat_in(self._folder, number, self._place) for number in numbers}

    def find(self, name: str) -> Place | None:
        """Return a seat by its name; None: it is on another host, or of another user."""
        return self.all().get(name)

    def is_deserted(self, name: str) -> bool:
        """Return whether no node sits in a seat, and nothing lives that one has begun; asks the kernel.

        False for the seats of other users, and of other folders: nobody here knows who sits there.
        """
        place = self._vacant(name)
        return place is not None and liveness.is_deserted(place)

    def is_known_dead(self, node: Node | Living) -> bool:
        """Return whether a node of this host is gone, whatever its lease says."""
        return is_of_this_boot(node) and self._vacant(node.seat) is not None

    def _vacant(self, name: str) -> Place | None:
        """Return a seat in which no node sits; None: one does, or nobody here knows."""
        place = self.find(name)
        return None if place is None or lock.is_held(place.lock) else place


def at_work(connection: Connection, place: Place, environ: Mapping[str, str]) -> list[Living]:
    """Return the nodes that are there, the oldest first; of those of this host the kernel knows more.

    Args:
        connection: To the server.
        place: Of the ledger.
        environ: Says where the folders of this host are.

    Raises:
        StoreError: The server cannot be asked.
    """
    ((ledger,),) = connection.plain(LEDGER_NAME).fetchall()
    seats = Seats(place, ledger, environ)
    return [node for node in living_nodes(connection) if not seats.is_known_dead(node)]


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
