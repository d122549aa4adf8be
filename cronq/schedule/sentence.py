"""The English sentence for a schedule."""

from __future__ import annotations


def sentence(text: str, tz: str) -> str:
    """What a schedule says, in English."""
    del tz
    return text
