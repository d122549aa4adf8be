"""What a host keeps beside a ledger that is in a server: a folder for each node that lives there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cronq.errors import UsageError
from cronq.store.location import Place
from cronq.store.postgres.address import EMBEDDED, Address, parse_address

_NAME = "node"


def server_place(text: str, rule: str, environ: Mapping[str, str]) -> Place:
    """Return the place of a ledger in a server; its files are those of the first seat. Raises: UsageError."""
    if text.startswith(EMBEDDED):
        from cronq.store.postgres.embedded import default_folder, start

        if text.removeprefix(EMBEDDED) not in {"", ":", "://", ":///"}:
            raise UsageError(f"{rule}: nothing follows `{EMBEDDED}`", hint="it is a server of your own")
        text = start(default_folder(environ))
    return seat_of(parse_address(text, rule), rule, 1, environ)


def seat_of(address: Address, rule: str, number: int, environ: Mapping[str, str]) -> Place:
    """Return the place with the files of a seat, numbered from 1."""
    folder = ledger_folder(address, environ) / str(number)
    return Place(folder / _NAME, folder / "logs", rule, address=address)


def ledger_folder(address: Address, environ: Mapping[str, str]) -> Path:
    """Return the folder of a ledger's seats on this host."""
    home = Path(environ.get("HOME") or "~").expanduser()
    given = environ.get("STATE_DIRECTORY", "").split(":")[0] or environ.get("XDG_STATE_HOME")
    state = Path(given) if given else home / ".local" / "state"
    return (state / "cronq" / "postgres" / address.key).resolve()
