"""What a host keeps beside a ledger that is in a server: a folder for each node that lives there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cronq.errors import UsageError
from cronq.store.location import Place
from cronq.store.postgres.address import EMBEDDED, parse_address

_NAME = "node"


def server_place(text: str, rule: str, environ: Mapping[str, str]) -> Place:
    """Return the place of a ledger in a server; its files here are those of its seats. Raises: UsageError."""
    if text.startswith(EMBEDDED):
        from cronq.store.postgres.embedded import default_folder, start

        if text.removeprefix(EMBEDDED) not in {"", ":", "://", ":///"}:
            raise UsageError(f"{rule}: nothing follows `{EMBEDDED}`", hint="it is a server of your own")
        text = start(default_folder(environ))
    folder = seats_folder(environ)
    return Place(folder / _NAME, folder / "logs", rule, address=parse_address(text, rule))


def seat_in(folder: Path, number: int, place: Place) -> Place:
    """Return the place with the files of a seat, numbered from 1, of the ledger at a place."""
    seat = folder / str(number)
    return Place(seat / _NAME, seat / "logs", place.rule, address=place.address)


def seats_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of all seats on this host: below it is one for each ledger."""
    home = Path(environ.get("HOME") or "~").expanduser()
    given = environ.get("STATE_DIRECTORY", "").split(":")[0] or environ.get("XDG_STATE_HOME")
    state = Path(given) if given else home / ".local" / "state"
    return (state / "cronq" / "postgres").resolve()
