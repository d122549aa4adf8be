"""Month grids: a count for each day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import groupby
from typing import NamedTuple

from cronq.render.table import Style
from cronq.render.text import Tone, Word, pad, paint, width_of

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_GAP = "    "


class Day(NamedTuple):
    """A day of a month.

    Attributes:
        fires: How many fire times it has.
        is_change: The clocks change on it.
    """

    on: date
    fires: int
    is_change: bool = False


def month_lines(days: Sequence[Day], style: Style) -> list[str]:
    """Return the months of some days, side by side as far as there is room, and a legend.

    Args:
        days: Whole months, ascending.
        style: Width, colour and characters.
    """
    cell = max((width_of(_text(day)) for day in days), default=3)
    months = [_month(list(group), cell) for _, group in groupby(days, key=lambda day: day.on.replace(day=1))]
    width = 7 * cell + 6 * 2
    abreast = max(1, (style.width + len(_GAP)) // (width + len(_GAP)))
    lines: list[str] = []
    for first in range(0, len(months), abreast):
        lines += _side_by_side(months[first : first + abreast], width, style)
        lines.append("")
    return [*lines, paint(Word(_legend(days), Tone.DIM), color=style.color)]


def _text(day: Day) -> str:
    count = f"({day.fires})" if day.fires else ""
    return f"{day.on.day:>2}{'*' if day.is_change else ''}{count}"


def _legend(days: Sequence[Day]) -> str:
    change = "   * the clocks change" if any(day.is_change for day in days) else ""
    return f"(n) fire times of the day{change}"


def _month(days: list[Day], cell: int) -> list[list[Word]]:
    """Return the lines of a month, each as words that together have the width of it."""
    title = days[0].on.strftime("%B %Y")
    lines = [[Word(pad(title, 7 * cell + 12), Tone.BOLD)]]
    names = [Word(pad(f"{name[:cell]:>2}", cell), Tone.DIM) for name in _WEEKDAYS]
    lines.append(_spaced(names))
    blank = Word(" " * cell)
    cells = [blank] * days[0].on.weekday()
    for day in days:
        tone = Tone.YELLOW if day.is_change else Tone.PLAIN if day.fires else Tone.DIM
        cells.append(Word(pad(_text(day), cell), tone))
    cells += [blank] * (-len(cells) % 7)
    lines += [_spaced(cells[place : place + 7]) for place in range(0, len(cells), 7)]
    return lines


def _spaced(words: Sequence[Word]) -> list[Word]:
    spaced: list[Word] = []
    for word in words:
        spaced += [Word("  "), word] if spaced else [word]
    return spaced


def _side_by_side(months: Sequence[list[list[Word]]], width: int, style: Style) -> list[str]:
    lines = []
    for row in range(max(len(month) for month in months)):
        pieces = []
        for month in months:
            words = month[row] if row < len(month) else [Word(" " * width)]
            pieces.append("".join(paint(word, color=style.color) for word in words))
        lines.append(_GAP.join(pieces).rstrip())
    return lines
