"""Where a database server is: what people write, what libpq wants, and what may be shown of it.

`postgresql://[user@]host[:port]/name[?…]` as libpq reads it (postgresql.org/docs/current/libpq-connect.html,
34.1.1.2), so `.pgpass`, `PGSERVICE` and the other variables of libpq work, too. One parameter is ours:
`schema`, the name of the schema that holds all of cronq's tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from cronq.errors import UsageError

SCHEMES = ("postgresql:", "postgres:")
EMBEDDED = "postgresql+embedded"
"""Names the private server of `cronq.store.postgres.embedded`."""
DEFAULT_SCHEMA = "cronq"
PATIENCE: Mapping[str, int] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 8000,
}
"""For how long a silent server is waited for, unless the address says otherwise: seconds, the last one ms.

A server that is gone without a word is found out by a beat, at most 10 s after the last one; given up after
8 s; and the next host of the address is asked after 5 s more: so in 23 s, and the trust lasts for 28.
Source: PostgreSQL, libpq-connect.
"""
_PUBLIC = frozenset(
    {
        "application_name",
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "dbname",
        "gssencmode",
        "host",
        "hostaddr",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "options",
        "port",
        "require_auth",
        "service",
        "sslcert",
        "sslcertmode",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslrootcert",
        "target_session_attrs",
        "tcp_user_timeout",
        "user",
    }
)
"""What may be shown; of any other parameter, of a later libpq or misspelt, nobody knows what it holds."""
_OURS = frozenset({"schema", "listen"})


class Address(NamedTuple):
    """A database in which a ledger lives.

    Attributes:
        conninfo: For libpq; may hold a password, so it is never shown.
        schema: Name of the schema of the tables.
        shown: The same for people, without secrets.
        listens: Whether LISTEN works through this connection; not behind PgBouncer in transaction mode.
    """

    conninfo: str
    schema: str = DEFAULT_SCHEMA
    shown: str = ""
    listens: bool = True

    def __repr__(self) -> str:
        """Return what may stand in a log."""
        return f"Address({self.shown!r})"


def is_address(text: str) -> bool:
    """Return whether a text names a database server, not a file."""
    return text.startswith((*SCHEMES, EMBEDDED))


def parse_address(text: str, rule: str) -> Address:
    """Return what a text names.

    Args:
        text: As above.
        rule: Where it is from, for messages.

    Raises:
        UsageError: It is not of that form. The message never repeats it: it may hold a password.
    """
    try:
        parts = urlsplit(text)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        _check_hosts(parts.netloc)
    except ValueError as error:
        raise UsageError(f"{rule} is not the address of a database", hint=_FORM) from error
    if re.search("%(?![0-9A-Fa-f]{2})|%00", text):
        # libpq would repeat the word that it stands in.
        raise UsageError(f"{rule} holds a `%` that begins no character", hint="write it as %25 in a password")
    if parts.fragment or "@" in parts.path + parts.query:
        raise UsageError(f"{rule} is cut short by a `#`, `?` or `/`", hint="in a password: %23, %3F, %2F")
    ours = {name: value for name, value in pairs if name in _OURS}
    schema = ours.get("schema", DEFAULT_SCHEMA)
    # Names with pg_ are PostgreSQL's own. `cronq_` and the name are that of a channel, of 63 bytes at most.
    if not re.fullmatch(r"(?!pg_)[a-z_][a-z0-9_]{0,56}", schema):
        raise UsageError(
            f"{rule}: `{schema}` cannot be the name of a schema",
            hint="a to z, 0 to 9 and _; 57 at most, and not pg_…",
        )
    listen = ours.get("listen", "yes")
    if listen not in {"yes", "no"}:
        raise UsageError(f"{rule}: listen is `yes` or `no`, not `{listen}`")
    theirs = [(name, value) for name, value in pairs if name not in _OURS]
    public = [(name, value) for name, value in theirs if name in _PUBLIC]
    if schema != DEFAULT_SCHEMA:
        public.append(("schema", schema))
    if listen == "no":
        public.append(("listen", listen))
    conninfo = _joined("postgresql", parts.netloc, parts.path, theirs)
    shown = _joined("postgresql", _without_password(parts.netloc), parts.path, public)
    return Address(conninfo, schema, shown, listen == "yes")


_FORM = "postgresql://user@host:5432/name; the password belongs into ~/.pgpass or PGPASSWORD"


def _check_hosts(netloc: str) -> None:
    """Raise ValueError unless each host has a port, or none: else a password may pass for one."""
    for host in netloc.rpartition("@")[2].split(","):
        _ = urlsplit(f"//{host}").port


def _without_password(netloc: str) -> str:
    user, at, host = netloc.rpartition("@")
    return f"{quote(unquote(user.partition(':')[0]))}{at}{host}"


def _joined(scheme: str, netloc: str, path: str, pairs: list[tuple[str, str]]) -> str:
    # libpq does not read `+` as a space, which `urlencode` writes by default.
    query = urlencode(pairs, quote_via=quote)
    text = urlunsplit((scheme, netloc, path, query, ""))
    return text if "://" in text else text.replace(":", "://", 1)
