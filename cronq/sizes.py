"""Amounts of bytes as people write them: `64M`, `1.5G`, `4096`."""

from __future__ import annotations

import re

from cronq.errors import UsageError

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([kmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_LARGEST = 2**60


def parse_size(text: str, *, least: int = 1) -> int:
    """Return a number of bytes; units are powers of 1024, and a bare number is bytes.

    Raises:
        UsageError: It is no size, or less than `least`.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"`{text[:40]}` is no size", hint="write it like 512K, 64M or 1.5G")
    size = round(float(match[1]) * float(1 << 10 * _UNITS[match[2].lower()]))
    if not least <= size <= _LARGEST:
        raise UsageError(f"`{text}` is too {'small' if size < least else 'large'}", hint=_least(least))
    return size


def format_size(size: int) -> str:
    """Return the shortest text that `parse_size` reads as exactly this number."""
    for unit, power in (("T", 4), ("G", 3), ("M", 2), ("K", 1)):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{unit}"
    return str(size)


def short_size(size: int) -> str:
    """Return a size for people, rounded: `3.2M`."""
    amount = float(size)
    for unit in ("", "K", "M", "G"):
        if amount < 1000:
            return f"{amount:.0f}{unit}" if amount >= 10 or not unit else f"{amount:.1f}{unit}"
        amount /= 1024
    return f"{amount:.1f}T"


def _least(least: int) -> str:
    return f"at least {format_size(least)}"
