"""Named locks: counted resources that jobs share, `db:1`, `gpu:2`; who may have one, decided purely.

Whoever waits stands in one line for each of its locks, and takes all of them at once or none, so nobody holds
one while waiting for another. Nobody overtakes in a line; a run that is held up in one of its lines keeps its
place in the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from cronq.errors import UsageError
from cronq.model import Micros
from cronq.names import NAME_HINT, is_name

MOST = 1_000_000


class LockWish(NamedTuple):
    """A lock that a job names.

    Attributes:
        capacity: How many may hold it at a time; None: as many as before, or one.
    """

    name: str
    capacity: int | None = None


def parse_lock(text: str) -> LockWish:
    """Return what `gpu:2` or `db` says. Raises: UsageError."""
    name, colon, number = text.partition(":")
    if not is_name(name):
        raise UsageError(f"`{name[:80]}` cannot be the name of a lock", hint=NAME_HINT)
    if not colon:
        return LockWish(name)
    if not re.fullmatch(r"[0-9]{1,7}", number) or not 1 <= int(number) <= MOST:
        raise UsageError(
            f"`{number[:40]}` is no number of holders", hint=f"write {name}:1, or another number"
        )
    return LockWish(name, int(number))


class LockBook:
    """What is free of each lock, while those who wait are asked one after the other."""

    def __init__(
        self,
        capacities: Mapping[str, int],
        taken: Mapping[str, int],
        asked: Mapping[str, Sequence[Micros]],
    ) -> None:
        """Open the book.

        Args:
            capacities: How many may hold each lock.
            taken: How many do.
            asked: Since when processes outside wait for it.
        """
        self._free = {name: count - taken.get(name, 0) for name, count in capacities.items()}
        self._asked = asked

    def take(self, names: Iterable[str], since: Micros) -> tuple[str, ...]:
        """Take locks for one that waits since an instant; call it in the order of the line.

        Returns:
            The names that are not free. If there are any, nothing is taken, but its place is kept in every
            line: what is free there is not for those who come after it.
        """
        names = tuple(names)
        missing = tuple(name for name in names if self._left(name, since) < 1)
        for name in names:
            self._free[name] = self._free.get(name, 0) - 1
        return missing

    def are_free(self, names: Iterable[str], since: Micros) -> bool:
        """Return whether `take_if_free` would take locks."""
        return all(self._left(name, since) > 0 for name in names)

    def take_if_free(self, names: Iterable[str], since: Micros) -> bool:
        """Take locks, all of them or none, without keeping a place; return whether they were taken."""
        names = tuple(names)
        if not self.are_free(names, since):
            return False
        for name in names:
            self._free[name] -= 1
        return True

    def _left(self, name: str, since: Micros) -> int:
        earlier = sum(at < since for at in self._asked.get(name, ()))
        return self._free.get(name, 0) - earlier
