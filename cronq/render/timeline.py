"""The timeline: one row a job, time from left to right, and every fire time that came to nothing.

A run paints at least one cell. In a shared cell a failure beats all, then a fire time without a run, which is
what nobody else shows, then what is running, what is ok, and what is planned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import tzinfo
from typing import NamedTuple

from cronq.model import SECOND, Micros
from cronq.render.table import Style
from cronq.render.text import Tone, Word, cut, paint, plain, width_of
from cronq.render.times import local, span

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_STEPS = (
    *(1, 5, 10, 15, 30, _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR),
    *(_DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 28 * _DAY, 91 * _DAY, 364 * _DAY),
)
"""Seconds between two labels of the scale."""
_QUARTER = 15 * _MINUTE
"""Offsets of zones are multiples of this, nearly all; so every full hour is one, too."""
LEAST_CELLS = 10

# kind: symbol, in ASCII, words of the legend, tone; the later one beats the earlier in a shared cell.
_KINDS = {
    "planned": ("○", "o", "planned", Tone.DIM),
    "ok": ("█", "#", "ok", Tone.PLAIN),
    "running": ("▒", "=", "running", Tone.PLAIN),
    "skipped": ("·", ".", "skipped or missed", Tone.YELLOW),
    "failed": ("×", "x", "failed", Tone.RED),
}
_RANKS = {kind: rank for rank, kind in enumerate(_KINDS)}


class Mark(NamedTuple):
    """Something that happened, or will.

    Attributes:
        start: Its first instant.
        end: Its last one; the same for what has no length.
        kind: `ok`, `running`, `failed`, `skipped` (also for missed fire times) or `planned`.
    """

    start: Micros
    end: Micros
    kind: str


class Row(NamedTuple):
    """A job, and its marks in any order."""

    name: str
    marks: Sequence[Mark]


class Scale(NamedTuple):
    """What the picture shows: `start <= t < end`, in a zone; `now` is drawn if it lies inside."""

    start: Micros
    end: Micros
    now: Micros | None
    zone: tzinfo


def timeline(rows: Sequence[Row], scale: Scale, style: Style) -> list[str]:
    """Return the lines of the picture: scale, rows, legend."""
    names = [plain(row.name) for row in rows]
    widest = min(max((width_of(name) for name in names), default=0), max(8, style.width // 3))
    cells = max(LEAST_CELLS, style.width - widest - 2)
    now = _cell(scale, cells, scale.now) if scale.now is not None else None
    lines = [(" " * (widest + 2) + _labels(scale, cells)).rstrip()]
    used: set[str] = set()
    for name, row in zip(names, rows, strict=True):
        kinds = _painted(row.marks, scale, cells)
        used |= set(kinds.values())
        label = cut(name, widest, ascii_only=style.ascii_only)
        blank = " " * (widest + 2 - width_of(label))
        painted = paint(Word(label, Tone.BOLD), color=style.color)
        lines.append(f"{painted}{blank}{_drawn(kinds, now, cells, style)}".rstrip())
    legend = [f"{_symbol(kind, style)} {_KINDS[kind][2]}" for kind in reversed(_KINDS) if kind in used]
    if now is not None:
        legend.append(f"{'|' if style.ascii_only else '│'} now")
    legend.append(_cell_length(scale, cells, style))
    return lines + _wrapped(legend, widest + 2, style.width)


def _cell(scale: Scale, cells: int, at: Micros) -> int | None:
    if not scale.start <= at < scale.end:
        return None
    return (at - scale.start) * cells // (scale.end - scale.start)


def _painted(marks: Sequence[Mark], scale: Scale, cells: int) -> dict[int, str]:
    """Return what each cell shows that shows anything."""
    kinds: dict[int, str] = {}
    length = scale.end - scale.start
    for mark in marks:
        if mark.start >= scale.end or mark.end < scale.start:
            continue
        first = max(0, (mark.start - scale.start) * cells // length)
        # Up to the cell of its last instant, which is not the one that begins when it ends.
        last = min(cells - 1, max(first, -(-(mark.end - scale.start) * cells // length) - 1))
        for cell in range(first, last + 1):
            if cell not in kinds or _RANKS[mark.kind] > _RANKS[kinds[cell]]:
                kinds[cell] = mark.kind
    return kinds


def _drawn(kinds: dict[int, str], now: int | None, cells: int, style: Style) -> str:
    pieces: list[str] = []
    for cell in range(cells):
        if cell in kinds:
            pieces.append(paint(Word(_symbol(kinds[cell], style), _KINDS[kinds[cell]][3]), color=style.color))
        elif cell == now:
            pieces.append("|" if style.ascii_only else "│")
        else:
            pieces.append(" ")
    return "".join(pieces).rstrip()


def _symbol(kind: str, style: Style) -> str:
    return _KINDS[kind][1 if style.ascii_only else 0]


def _cell_length(scale: Scale, cells: int, style: Style) -> str:
    sign = "~" if style.ascii_only else "≈"
    return f"one cell {sign} {span((scale.end - scale.start) / SECOND / cells, units=2)}"


def _wrapped(words: Sequence[str], indent: int, width: int) -> list[str]:
    lines = [""]
    for word in words:
        if lines[-1] and indent + width_of(lines[-1]) + 2 + width_of(word) > width:
            lines.append("")
        lines[-1] += f"  {word}" if lines[-1] else word
    return [" " * indent + line for line in lines]


def _labels(scale: Scale, cells: int) -> str:
    """Return the labels of the scale, each beginning at its cell."""
    per_second = cells / ((scale.end - scale.start) / SECOND)
    step = next((s for s in _STEPS if s * per_second >= len(_label_like(s)) + 2), _STEPS[-1])
    line = ""
    for at in _ticks(scale, step):
        cell = _cell(scale, cells, at)
        label = local(at, scale.zone).strftime(_format(step))
        if cell is not None and cell >= len(line) and cell + len(label) <= cells:
            line = line.ljust(cell) + label + " "
    return line


def _format(step: int) -> str:
    if step < _MINUTE:
        return "%H:%M:%S"
    return "%H:%M" if step < _DAY else "%a %d" if step < 7 * _DAY else "%Y-%m-%d"


def _label_like(step: int) -> str:
    return {"%H:%M:%S": "00:00:00", "%H:%M": "00:00", "%a %d": "Mon 01"}.get(_format(step), "2026-01-01")


def _ticks(scale: Scale, step: int) -> Iterator[Micros]:
    """Yield the instants that are full steps of the wall clock."""
    grain = min(step, _QUARTER)
    first = -(-scale.start // (grain * SECOND))
    for at in range(first * grain * SECOND, scale.end, grain * SECOND):
        moment = local(at, scale.zone)
        seconds = moment.hour * _HOUR + moment.minute * _MINUTE + moment.second
        if step < _DAY:
            if seconds % step == 0:
                yield at
        elif seconds == 0 and (moment.toordinal() - 1) % (step // _DAY) == 0:
            yield at
