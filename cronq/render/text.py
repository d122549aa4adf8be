"""Text that goes to terminals and logs: tones, escaping of control characters, width, cutting."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple


class Tone(StrEnum):
    """What a piece of text is; colour only repeats what the words say already."""

    PLAIN = ""
    BOLD = "1"
    DIM = "2"
    RED = "31"
    YELLOW = "33"


class Word(NamedTuple):
    """A piece of text with a tone."""

    text: str
    tone: Tone = Tone.PLAIN


_HARMFUL = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL and C1, of which a terminal may take U+009B for ESC [
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional controls (CVE-2021-42574)
    "\u2028\u2029\ufff9-\ufffb"  # separators of lines, annotations
    "\U000e0000-\U000e007f"  # tags, which are never seen
    "\ud800-\udfff"  # what no encoding can print
    "]"
)


_PAINT = re.compile("(\x1b\\[(?:0|1|2|31|33)m)")  # what `paint` writes


def paint(word: Word, *, color: bool) -> str:
    """Return the text, wrapped in SGR sequences if colour is wanted (ECMA-48)."""
    if not color or word.tone is Tone.PLAIN or not word.text:
        return word.text
    return f"\x1b[{word.tone.value}m{word.text}\x1b[0m"


def plain(text: str, *, keep: str = "") -> str:
    """Return text in which control characters have become visible and harmless.

    Output of jobs, and names from a database, may hold escape sequences that move the cursor, retitle the
    window or answer to the terminal; C1 controls and the bidirectional overrides do harm in the same way.

    Args:
        text: Anything.
        keep: Control characters to leave alone, such as the tab.
    """
    if text.isascii() and text.isprintable():
        return text
    return _HARMFUL.sub(lambda match: c if (c := match[0]) in keep else _visible(c), text)


def harmless(text: str) -> str:
    """Return a painted line in which nothing but our own colours, and tabs, speaks to the terminal."""
    if "\x1b" not in text:
        return plain(text, keep="\t")
    # Every other piece is what the parentheses match: a colour.
    return "".join(
        piece if at % 2 else plain(piece, keep="\t") for at, piece in enumerate(_PAINT.split(text))
    )


def json_safe(text: str) -> str:
    """Return JSON in which control characters are escapes, as JSON allows: the same document, but harmless.

    Args:
        text: As `json.dumps` gives it, which leaves alone what is not ASCII, and DEL.
    """
    return _HARMFUL.sub(lambda match: _in_json(match[0]), text)


def _in_json(c: str) -> str:
    if c == "\n":
        return c  # of the indentation; within texts it is an escape already
    units = c.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _visible(c: str) -> str:
    code = ord(c)
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(c)
    if named:
        return named
    if code < 0x20:
        return "^" + chr(code + 0x40)
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def width_of(text: str) -> int:
    """Return how many terminal cells the text takes."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(_cells(c, unicodedata.east_asian_width(c), unicodedata.combining(c)) for c in text)


def _cells(c: str, east_asian: str, combining: int) -> int:
    if combining or c == "\u200d" or "\ufe00" <= c <= "\ufe0f":
        return 0
    return 2 if east_asian in "WF" else 1


def cut(text: str, width: int, *, ascii_only: bool = False) -> str:
    """Return the text, shortened to a number of cells with `…` as its last one."""
    if width_of(text) <= width:
        return text
    mark = "~" if ascii_only else "…"
    kept = text[: max(0, width - 1)]
    while kept and width_of(kept) > width - 1:
        kept = kept[:-1]
    return (kept + mark) if width > 0 else ""


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return the text, filled up with blanks to a number of cells."""
    blank = " " * max(0, width - width_of(text))
    return blank + text if right else text + blank


def tab_separated(cells: list[str]) -> str:
    """Return one line for machines: no cell can break out of its column."""
    return "\t".join(plain(cell) for cell in cells)


def count_of(number: int, noun: str, plural: str = "") -> str:
    """Return `1 job`, `3 jobs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"


def joined(names: list[str] | tuple[str, ...]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
