r"""What a receiver and its child say to one another: lines over a socket, after one line of JSON for a start.

=================================  ===========================================================
from the child                     from the receiver
=================================  ===========================================================
`READY`                            `{…}`, the `Setup`, once and first
`GOT <message> <run> "<queue>"`    `DONE <message>`
`TROUBLE <text>`                   `MOST <messages>`, to be held at a time
\                                  `STOP`
=================================  ===========================================================

The connection string goes through the socket alone: arguments and environment can be read by others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from cronq.store.postgres.messages import HEARTBEAT_S, STALLED_S


@dataclass(frozen=True, slots=True)
class Setup:
    """What a child needs to know.

    Attributes:
        conninfo: Connection string or URL of the database; may contain a password.
        schema: Where Procrastinate's tables are.
        slots: Messages held at a time.
        queues: From which queues; None for all.
        listen: Whether LISTEN works there; it does not through PgBouncer in transaction mode.
        poll_s: How often the queues are looked at although nothing was heard.
        heartbeat_s: See `HEARTBEAT_S`.
        stalled_s: See `STALLED_S`.
    """

    conninfo: str = field(repr=False)
    schema: str
    slots: int
    queues: tuple[str, ...] | None = None
    listen: bool = True
    poll_s: float = 5.0
    heartbeat_s: float = HEARTBEAT_S
    stalled_s: float = STALLED_S

    def encode(self) -> bytes:
        """Return it as a line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Setup:
        """Return what a line says."""
        values = json.loads(line)
        queues = values.pop("queues")
        return cls(**values, queues=None if queues is None else tuple(queues))


@dataclass(frozen=True, slots=True)
class Permit:
    """A message in hand.

    Attributes:
        message: Its id.
        run_id: The run that it was put for; any other of the queue may be claimed with it.
        queue: The queue.
    """

    message: int
    run_id: int
    queue: str

    def encode(self) -> bytes:
        """Return it as a line."""
        return f"GOT {self.message} {self.run_id} {json.dumps(self.queue)}\n".encode()

    @classmethod
    def decode(cls, rest: str) -> Permit:
        """Return what the rest of a `GOT` line says."""
        message, run_id, queue = rest.split(" ", 2)
        return cls(int(message), int(run_id), json.loads(queue))


class Splitter:
    """Cuts what arrives into lines."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the lines that are complete, without their ends."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        yield from lines
