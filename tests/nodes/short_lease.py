"""`python -m tests.nodes.short_lease …` is `cronq …` with a lease of 12 s, so tests need not wait for 30.

All the ratios stay as they are. It has to be done before the first of these modules is imported by another
one that takes the value over.
"""

from __future__ import annotations

import sys

from cronq.store.postgres import messages

LEASE_S = 12.0
BEAT_S = 4.0

messages.HEARTBEAT_S = BEAT_S  # type: ignore[misc]
messages.STALLED_S = LEASE_S  # type: ignore[misc]


def shorten() -> None:
    """Let this process be a node with a short lease."""
    from cronq.store.postgres import nodes

    nodes.LEASE_S = LEASE_S
    nodes.BEAT_S = BEAT_S
    nodes.UNSENT_S = BEAT_S


if __name__ == "__main__":
    shorten()
    from cronq.__main__ import main

    sys.exit(main())
