"""Reading the numbers of runs."""

from __future__ import annotations

from cronq.errors import RunNotFound, UsageError
from cronq.render.text import plain


def run_number(text: str) -> int:
    """Return the number of a run, as typed with or without `#`.

    Raises:
        UsageError: It is not a number.
        RunNotFound: No run can have that number.
    """
    digits = text.removeprefix("#")
    if not (digits.isascii() and digits.isdecimal()):
        raise UsageError(f"`{plain(text)}` is not the number of a run", hint="the numbers: cronq runs")
    if len(digits) > 18:
        raise RunNotFound(f"there is no run {digits}", hint="the numbers: cronq runs")
    return int(digits)
