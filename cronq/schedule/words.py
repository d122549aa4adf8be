"""English for numbers, lists, clock times and sets of numbers; shared by the sentences."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from cronq.schedule.masks import bits

WEEKDAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MONTH_NAMES = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip


class Shape(NamedTuple):
    """How a set of numbers is best told.

    `kind` is `all`, `one`, `step` (every `step`-th from `first` as far as the range goes) or `runs`.
    """

    kind: str
    first: int
    step: int
    runs: tuple[tuple[int, int], ...]


def shape_of(mask: int, low: int, high: int) -> Shape:
    """The shape of the set bits, of a field that goes from low to high."""
    values = bits(mask)
    first = values[0]
    runs = _runs(values)
    if len(values) == high - low + 1:
        return Shape("all", first, 1, runs)
    if len(values) == 1:
        return Shape("one", first, 0, runs)
    step = values[1] - first
    is_even = all(right - left == step for left, right in pairwise(values))
    if len(values) > 2 and step > 1 and is_even and first - step < low and values[-1] + step > high:
        return Shape("step", first, step, runs)
    return Shape("runs", first, 0, runs)


def _runs(values: list[int]) -> tuple[tuple[int, int], ...]:
    runs: list[tuple[int, int]] = []
    for value in values:
        if runs and runs[-1][1] == value - 1:
            runs[-1] = (runs[-1][0], value)
        else:
            runs.append((value, value))
    return tuple(runs)


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, … 11th."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def listed(parts: list[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def around(runs: tuple[tuple[int, int], ...], low: int, high: int) -> tuple[tuple[int, int], ...]:
    """The runs of a field that goes round: November to February is one run, with first > last."""
    if len(runs) > 1 and runs[0][0] == low and runs[-1][1] == high:
        return (*runs[1:-1], (runs[-1][0], runs[0][1]))
    return runs


def runs_listed(runs: tuple[tuple[int, int], ...], name: list[str] | tuple[str, ...]) -> str:
    """The members by name; three or more in a row as `a to c`."""
    parts: list[str] = []
    for first, last in runs:
        if 0 <= last - first < 2:
            parts.extend(name[value] for value in range(first, last + 1))
        else:
            parts.append(f"{name[first]} to {name[last]}")
    return listed(parts)


def numbers(runs: tuple[tuple[int, int], ...]) -> str:
    """The members as digits."""
    return runs_listed(runs, [str(number) for number in range(max(max(run) for run in runs) + 1)])


def clock(tod: int) -> str:
    """A second of the day as `09:00`, or `09:00:30`."""
    text = f"{tod // 3600:02}:{tod // 60 % 60:02}"
    return text if tod % 60 == 0 else f"{text}:{tod % 60:02}"


def counted(number: int, unit: str) -> str:
    """`every` what: `day`, `2 days`."""
    return unit if number == 1 else f"{number} {unit}s"


def spelled(seconds: int) -> str:
    """A whole number of seconds in words: `90 seconds`, `1 hour 30 minutes`; `minute` for one."""
    units = ((604800, "week"), (86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
    for size, unit in units:
        if seconds % size == 0 and (seconds < 120 * size or size == units[0][0]):
            return counted(seconds // size, unit)
    parts = []
    for size, unit in units:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}" + "s" * (count != 1))
    return " ".join(parts)
