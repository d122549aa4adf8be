"""What the two output streams can show: judged once, by the rules of the tools people know.

Colour: `--color` > `NO_COLOR` > `FORCE_COLOR`/`CLICOLOR_FORCE` > `TERM=dumb` > is it a terminal
(no-color.org, bixense.com/clicolors). Width: `COLUMNS`, else the terminal, else 80.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import tzinfo
from typing import NamedTuple, TextIO

from cronq.render.table import Style

DEFAULT_WIDTH = 80


class Terminal(NamedTuple):
    """The output streams, and what they are.

    Attributes:
        out_is_tty: A person looks at standard output.
        animated: Both streams are terminals, and nobody asked for quiet ones.
        journal: Standard error goes to the systemd journal, which stamps the time itself.
        zone: For wall times; None is the zone of the machine.
    """

    out: TextIO
    err: TextIO
    out_is_tty: bool
    err_is_tty: bool
    width: int = DEFAULT_WIDTH
    out_color: bool = False
    err_color: bool = False
    ascii_only: bool = False
    animated: bool = False
    journal: bool = False
    zone: tzinfo | None = None

    @property
    def style(self) -> Style:
        """How tables on standard output look."""
        return Style(self.width, self.out_color, self.ascii_only)


def wants_color(stream_is_tty: bool, environ: Mapping[str, str], choice: str = "auto") -> bool:
    """Return whether a stream is to be coloured."""
    if choice != "auto":
        return choice == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR") or environ.get("CLICOLOR_FORCE", "0") != "0":
        return True
    return stream_is_tty and environ.get("TERM") != "dumb"


def is_tty(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal; closed and missing ones are not."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def width_of_terminal(stream: TextIO | None, environ: Mapping[str, str]) -> int:
    """Return the columns there are."""
    columns = environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns[:9]) > 0:
        return int(columns[:9])
    try:
        if stream is not None and stream.isatty():
            return os.get_terminal_size(stream.fileno()).columns or DEFAULT_WIDTH
    except (OSError, ValueError):
        pass
    return DEFAULT_WIDTH


def speaks_unicode(stream: TextIO | None) -> bool:
    """Return whether the stream's encoding has the symbols."""
    encoding = getattr(stream, "encoding", None) or ""
    return encoding.lower().replace("-", "").replace("_", "") in {"utf8", "utf8sig", "utf16", "utf32"}


def is_journal(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Return whether a stream goes to the journal: systemd.exec(5), `JOURNAL_STREAM`."""
    named = environ.get("JOURNAL_STREAM", "")
    if not named or stream is None:
        return False
    try:
        info = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return named == f"{info.st_dev}:{info.st_ino}"
