"""A part of the text that the user wrote, which still knows where it stands.

Every reader of the grammar works on pieces, so that each error can point at the offending
characters of the whole text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from cronq.errors import ScheduleError

_WORD = re.compile(r"[^ \t]+")


class Piece(NamedTuple):
    """Characters `start` to `end` of `full`."""

    full: str
    start: int
    end: int

    @property
    def text(self) -> str:
        """The characters themselves."""
        return self.full[self.start : self.end]

    def cut(self, start: int, end: int) -> Piece:
        """The characters `start` to `end` of this piece."""
        return Piece(self.full, self.start + start, self.start + end)

    def words(self) -> list[Piece]:
        """The parts between spaces and tabs."""
        full = self.full
        return [
            Piece(full, found.start(), found.end()) for found in _WORD.finditer(full, self.start, self.end)
        ]

    def stripped(self) -> Piece:
        """The piece without the spaces and tabs around it."""
        text = self.text
        left = len(text) - len(text.lstrip(" \t"))
        return self.cut(left, max(left, len(text.rstrip(" \t"))))

    def error(self, message: str, hint: str = "") -> ScheduleError:
        """A `ScheduleError` that points at this piece."""
        # The message quotes what was typed.
        return ScheduleError(
            printable(message), hint=hint, text=printable(self.full), span=(self.start, self.end)
        )


def joined(first: Piece, last: Piece) -> Piece:
    """The piece from the start of one to the end of another."""
    return Piece(first.full, first.start, last.end)


def printable(text: str) -> str:
    """The text with control characters replaced one for one, so that a caret below it stays true."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def did_you_mean(word: str, known: list[str]) -> str:
    """A hint that names the nearest known words, or nothing."""
    # Imported here: only a mistake pays for difflib's 7 ms.
    from difflib import get_close_matches

    near = get_close_matches(word.lower(), known, n=3, cutoff=0.6)
    if not near:
        return ""
    return "did you mean " + " or ".join(f"`{guess}`" for guess in near) + "?"
