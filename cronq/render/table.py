"""Tables without boxes: one dim header, blanks between columns, and an order in which columns leave.

Our own few lines, because laying out a thousand rows takes Rich a third of a second, and importing it more
than the whole command may cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cronq.render.text import Tone, Word, cut, pad, paint, width_of

GAP = "  "


class Column(NamedTuple):
    """How a column behaves.

    Attributes:
        right: Numbers stand at the right.
        leaves: Columns leave in ascending order of this when there is no room; 0 never leaves.
        least: It may be cut down to this many cells, after all others have left; None: never cut.
        fair: It is cut to this many cells before another column leaves; one long text does not cost a column.
    """

    title: str
    right: bool = False
    leaves: int = 0
    least: int | None = None
    fair: int | None = None


class Style(NamedTuple):
    """What the terminal can show."""

    width: int = 80
    color: bool = False
    ascii_only: bool = False


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[Word]], style: Style, *, header: bool = True
) -> list[str]:
    """Return the lines of a table that fits the width, if cutting what may be cut is enough for that."""
    widths = [
        max([width_of(column.title) if header else 0, *(width_of(row[index].text) for row in rows)])
        for index, column in enumerate(columns)
    ]
    shown = _remaining(columns, widths, style.width)
    _narrow(columns, widths, shown, style.width)
    lines = []
    if header:
        lines.append(_line(columns, [Word(c.title, Tone.DIM) for c in columns], widths, shown, style))
    lines += [_line(columns, row, widths, shown, style) for row in rows]
    return lines


def _remaining(columns: Sequence[Column], widths: list[int], width: int) -> list[int]:
    shown = list(range(len(columns)))
    leaving = sorted((index for index in shown if columns[index].leaves), key=lambda i: columns[i].leaves)
    for index in leaving:
        if _total([min(w, c.fair or w) for w, c in zip(widths, columns, strict=True)], shown) <= width:
            break
        shown.remove(index)
    return shown


def _total(widths: list[int], shown: list[int]) -> int:
    return sum(widths[index] for index in shown) + len(GAP) * (len(shown) - 1)


def _narrow(columns: Sequence[Column], widths: list[int], shown: list[int], width: int) -> None:
    for index in shown:
        excess = _total(widths, shown) - width
        least = columns[index].least
        if excess > 0 and least is not None:
            widths[index] = min(widths[index], max(least, widths[index] - excess))


def _line(
    columns: Sequence[Column], cells: Sequence[Word], widths: list[int], shown: list[int], style: Style
) -> str:
    pieces = []
    for position, index in enumerate(shown):
        text = cells[index].text
        if columns[index].least is not None:
            text = cut(text, widths[index], ascii_only=style.ascii_only)
        painted = paint(Word(text, cells[index].tone), color=style.color)
        blank = " " * (widths[index] - width_of(text))
        last = position == len(shown) - 1
        pieces.append(blank + painted if columns[index].right else painted + ("" if last else blank))
    return GAP.join(pieces).rstrip()


def facts(pairs: Sequence[tuple[str, Word]], style: Style, *, indent: str = "") -> list[str]:
    """Return `label   value` lines; labels dim, values never cut."""
    widest = max((width_of(label) for label, _ in pairs), default=0)
    return [
        indent
        + paint(Word(pad(label, widest), Tone.DIM), color=style.color)
        + GAP
        + paint(value, color=style.color)
        for label, value in pairs
    ]
