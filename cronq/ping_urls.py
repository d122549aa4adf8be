"""Where a job's pings go: a URL, or a variable of the scheduler's environment that holds one.

Whoever knows the URL can answer for the job, so it is shown like the value of a variable: not.
"""

from __future__ import annotations

import re

from cronq.errors import UsageError

_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_HINT = "give http:// or https://, as in https://hc-ping.com/UUID, or '$NAME' of a variable that holds it"
_MOST = 2000
HIDDEN = "***"


def variable_in(text: str) -> str | None:
    """Return the name of the variable that holds the URL; None: the text is the URL."""
    found = _VARIABLE.fullmatch(text)
    return found[1] if found else None


def read_ping(text: str) -> str:
    """Return what was typed, if a ping can go there.

    Raises:
        UsageError: It is neither a URL nor a variable; points at the place, and does not repeat it.
    """
    if variable_in(text):
        return text
    if problem := _problem(text):
        message, span = problem
        raise UsageError(message, hint=_HINT, text=text, span=span)
    return text


def _problem(text: str) -> tuple[str, tuple[int, int]] | None:
    """Return what is wrong with a URL, and where."""
    from urllib.parse import urlsplit

    if odd := re.search(r"[^!-~]+", text):
        return "a URL has no blanks, and only ASCII characters", odd.span()
    if len(text) > _MOST:
        return f"a URL of more than {_MOST} characters", (_MOST, len(text))
    scheme, colon, _ = text.partition(":")
    if not colon or scheme.lower() not in {"http", "https"}:
        return "not a URL of http or https", (0, len(scheme))
    start = len(scheme) + 1
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return str(error), (start, len(text))
    if not text[start:].startswith("//") or not host:
        return "there is no host", (start, len(text))
    if "@" in parts.netloc:
        at = text.index(parts.netloc)
        return "a name or password in the URL would not be sent", (at, text.index("@") + 1)
    if parts.fragment or text.endswith("#"):
        return "a part after # would not be sent", (text.index("#"), len(text))
    return None


def masked(text: str) -> str:
    """Return a ping's address as it may be shown: the host, without what tells whose check it is."""
    if variable_in(text):
        return text
    from urllib.parse import urlsplit

    parts = urlsplit(text)
    return f"{parts.scheme}://{parts.netloc}/{HIDDEN}"


def endpoint(url: str, signal: str, run_id: str) -> str:
    """Return the URL of a signal.

    Args:
        url: Of the check.
        signal: `start`, `fail`, `log`, an exit status; empty: success.
        run_id: UUID that joins the start of a run with its end.

    Source: the pinging API of healthchecks.io: the signal is the last part of the path, `rid` a parameter.
    """
    from urllib.parse import urlsplit, urlunsplit

    parts = urlsplit(url)
    path = f"{parts.path.rstrip('/')}/{signal}" if signal else parts.path
    query = f"{parts.query}&rid={run_id}" if parts.query else f"rid={run_id}"
    return urlunsplit((parts.scheme, parts.netloc, path, query, ""))
