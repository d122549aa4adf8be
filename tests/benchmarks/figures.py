"""Numbers and the table: medians, spreads, targets and whether they are met."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        value: What was measured, with its unit, and its spread over the rounds.
        ratio: To what the target speaks of; None: there is nothing to compare with.
        target: In words; empty: there is none.
        ok: Whether it is met.
    """

    measure: str
    contestant: str
    value: str
    ratio: float | None = None
    target: str = ""
    ok: bool | None = None


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all is at most."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Sequence[float]) -> float:
    """Return the middle."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> str:
    """Return how far the rounds lie apart, as a share of their median."""
    if len(values) < 2 or not median(values):
        return ""
    return f" ±{(max(values) - min(values)) / 2 / median(values):.0%}"


def per_second(rates: Sequence[float]) -> str:
    """Return a rate over several rounds."""
    return f"{median(rates):,.0f}/s{spread(rates)}"


def ms(seconds: float) -> str:
    """Return a duration in milliseconds, or in seconds if it is long."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.2f} ms"


def mb(size: float) -> str:
    """Return a size in megabytes."""
    return f"{size / 1e6:.1f} MB"


def interleaved(
    rounds: int, contestants: dict[str, Callable[[], list[float]]]
) -> dict[str, list[list[float]]]:
    """Ask each contestant once a round, so that a noisy minute hits all alike."""
    answers: dict[str, list[list[float]]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, ask in contestants.items():
            answers[name].append(ask())
    return answers


def verdict(row: Row) -> str:
    """Return the last column."""
    return "" if row.ok is None else "ok" if row.ok else "MISSED"


def line(row: Row) -> str:
    """Return a line of the table."""
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    return (
        f"{row.measure:<34} {row.contestant:<24} {row.value:<40} {ratio:>8}  "
        f"{row.target:<34} {verdict(row)}".rstrip()
    )


HEADER = f"{'measure':<34} {'contestant':<24} {'value':<40} {'ratio':>8}  target"
