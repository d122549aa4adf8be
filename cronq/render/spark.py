"""Sparklines: the durations of the last runs, linear from nought, so that heights are honest."""

from __future__ import annotations

from collections.abc import Sequence

from cronq.model import UNSTARTED, Outcome

BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.-=+*#@"


def sparkline(runs: Sequence[tuple[Outcome, float | None]], *, ascii_only: bool = False) -> str:
    """Return one character a run: a bar for a success, `×` for a failure, `·` for a time without a run.

    Args:
        runs: Outcome and duration in seconds, in the order in which they are to stand.
        ascii_only: Use characters that every terminal has.
    """
    bars = ASCII_BARS if ascii_only else BARS
    longest = max((took for outcome, took in runs if outcome is Outcome.SUCCESS and took), default=0.0)
    return "".join(_mark(outcome, took or 0.0, longest, bars, ascii_only) for outcome, took in runs)


def _mark(outcome: Outcome, took: float, longest: float, bars: str, ascii_only: bool) -> str:
    if outcome in UNSTARTED:
        return " " if ascii_only else "·"
    if outcome is not Outcome.SUCCESS:
        return "x" if ascii_only else "×"
    if longest <= 0:
        return bars[0]
    return bars[min(len(bars) - 1, int(took / longest * len(bars)))]
