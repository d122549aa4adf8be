"""What a job, a named lock or a queue can be called."""

from __future__ import annotations

import re

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
NAME_HINT = "a-z, 0-9, `.`, `_` and `-`, at most 63, the first a letter or a digit"
DEFAULT_QUEUE = "default"
"""The queue of a job that names none."""


def is_name(text: str) -> bool:
    """Return whether a text can be a name."""
    return _NAME.fullmatch(text) is not None
