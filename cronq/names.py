"""What a job, a named lock or a queue can be called."""

from __future__ import annotations

import re

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
NAME_HINT = "a-z, 0-9, `.`, `_` and `-`, at most 63, the first a letter or a digit"
DEFAULT_QUEUE = "default"
"""The queue of a job that names none."""

LONGEST_QUEUE = 40
"""Each message to a queue is notified by its name, for which PostgreSQL has room for so many bytes; see
`cronq.store.postgres.messages`."""
QUEUE_HINT = f"a-z, 0-9, `.`, `_` and `-`, at most {LONGEST_QUEUE}, the first a letter or a digit"


def is_queue(text: str) -> bool:
    """Return whether a text can be the name of a queue."""
    return is_name(text) and len(text) <= LONGEST_QUEUE


def is_name(text: str) -> bool:
    """Return whether a text can be a name."""
    return _NAME.fullmatch(text) is not None
