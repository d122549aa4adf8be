"""Text that goes to terminals and logs: tones, escaping of control characters, width, cutting."""

from __future__ import annotations

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
    return "".join(c if c in keep or not _is_harmful(c) else _visible(c) for c in text)


def _is_harmful(c: str) -> bool:
    code = ord(c)
    if code < 0x20 or 0x7F <= code < 0xA0:
        return True
    # Bidirectional controls (CVE-2021-42574), line separators, and what no encoding can print.
    return (
        0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069 or code in {0x2028, 0x2029} or _is_surrogate(c)
    )


def _is_surrogate(c: str) -> bool:
    return 0xD800 <= ord(c) <= 0xDFFF


def _visible(c: str) -> str:
    code = ord(c)
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(c)
    if named:
        return named
    if code < 0x20:
        return "^" + chr(code + 0x40)
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
