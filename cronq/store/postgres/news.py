"""What others changed, told by the database as it happens: in the place of a doorbell.

LISTEN needs a session of its own. Where there is none to be had (PgBouncer in transaction mode), or while it
is lost, nobody hears, and the loop looks by itself now and then; the rows are the truth anyway.
"""

from __future__ import annotations

import contextlib
import selectors
from collections.abc import Callable

from cronq.errors import StoreError
from cronq.store.postgres.address import Address
from cronq.store.postgres.connection import Connection


class News:
    """A connection that listens; `fileno` is the same for its whole life, whatever becomes of the server.

    Attributes:
        told: Gets each word that is heard.
    """

    def __init__(self, address: Address) -> None:
        """Listen, if that is possible now."""
        self._address = address
        self._selector = selectors.DefaultSelector()
        self._connection: Connection | None = None
        self.told: Callable[[str], None] = lambda _word: None
        self.listen()

    @property
    def is_listening(self) -> bool:
        """Whether changes are heard."""
        return self._connection is not None

    def listen(self) -> None:
        """Listen, unless it does already; without effect where that is impossible now."""
        if self._connection is not None or not self._address.listens:
            return
        with contextlib.suppress(StoreError):
            connection = Connection(self._address)
            connection.plain(f'LISTEN "cronq_{self._address.schema}"')
            self._selector.register(connection.fileno(), selectors.EVENT_READ)
            self._connection = connection

    def fileno(self) -> int:
        """Return the descriptor that is readable when there is news."""
        return self._selector.fileno()

    def answer(self) -> bool:
        """Take all news; return whether there was any."""
        if self._connection is None:
            return False
        try:
            words = set(self._connection.news())
        except StoreError:
            self._let_go()
            return True
        for word in sorted(words):
            self.told(word)
        return bool(words)

    def close(self) -> None:
        """Stop listening."""
        self._let_go()
        self._selector.close()

    def _let_go(self) -> None:
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fd)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
