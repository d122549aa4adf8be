"""Variables in a crontab: which lines set one, and to what.

Source: crontab(5), and the reader of variables that Debian's cron and cronie share: it is tried on each line
before the line is taken for an entry.
"""

from __future__ import annotations

_SPACES = " \t\v\f\r"


def read_variable(text: str) -> tuple[str, str] | None:
    """Return the name and the value that a line sets; None: it sets none.

    Args:
        text: The line, without blanks before it.
    """
    name, rest = _name(text)
    if name is None:
        return None
    rest = rest.lstrip(_SPACES)
    if not rest.startswith("="):
        return None
    rest = rest[1:].lstrip(_SPACES)
    if rest[:1] in ("'", '"'):
        value, quote, after = rest[1:].partition(rest[0])
        # Without its end, or with something after it, it is not a quoted text; cron refuses the line then.
        return (name, value) if quote and not after.strip(_SPACES) else None
    return name, rest.rstrip(_SPACES)


def _name(text: str) -> tuple[str | None, str]:
    if text[:1] in ("'", '"'):
        name, quote, rest = text[1:].partition(text[0])
        return (name, rest) if quote and "=" not in name else (None, "")
    for at, char in enumerate(text):
        if char == "=" or char in _SPACES:
            return text[:at], text[at:]
    return None, ""
