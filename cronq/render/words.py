"""How states and outcomes are said: a symbol, a word and a tone; the words alone in ASCII."""

from __future__ import annotations

from cronq.model import SECOND, Attempt, Micros, Outcome, Run, State
from cronq.render.text import Tone, Word, plain
from cronq.render.times import duration

_SYMBOLS = {
    Outcome.SUCCESS: "✓",
    Outcome.FAILURE: "✗",
    Outcome.TIMEOUT: "⧗",
    Outcome.CANCELLED: "⊘",
    Outcome.ABANDONED: "?",
    Outcome.SKIPPED: "·",
    Outcome.MISSED: "·",
}
_TONES = {
    Outcome.SUCCESS: Tone.PLAIN,
    Outcome.FAILURE: Tone.RED,
    Outcome.TIMEOUT: Tone.RED,
    Outcome.ABANDONED: Tone.RED,
    Outcome.CANCELLED: Tone.YELLOW,
    Outcome.SKIPPED: Tone.DIM,
    Outcome.MISSED: Tone.YELLOW,
}


def outcome_word(outcome: Outcome, reason: str = "", *, ascii_only: bool = False) -> Word:
    """Return `✓ ok`, `✗ exit 23`, `⧗ timeout 30s`, `? abandoned`, or `ok`, `FAIL exit 23`, ….

    Args:
        outcome: Of a run or an attempt.
        reason: What the ledger says about it; shown where it says more than the outcome.
        ascii_only: Leave the symbols away.
    """
    text = said(outcome, reason)
    if not ascii_only:
        return Word(f"{_SYMBOLS[outcome]} {text}", _TONES[outcome])
    if outcome is Outcome.FAILURE and text != "failed":
        text = f"FAIL {text}"
    return Word("FAIL" if text == "failed" else text, _TONES[outcome])


def symbol(outcome: Outcome) -> Word:
    """Return the symbol alone."""
    return Word(_SYMBOLS[outcome], _TONES[outcome])


def tone_of(outcome: Outcome) -> Tone:
    """Return the tone in which an outcome is shown."""
    return _TONES[outcome]


def said(outcome: Outcome, reason: str = "") -> str:
    """Return the outcome in words without a symbol."""
    if outcome is Outcome.SUCCESS:
        return "ok"
    if outcome is Outcome.FAILURE:
        return plain(reason) or "failed"
    if outcome is Outcome.TIMEOUT and reason.startswith("timeout"):
        return plain(reason)
    return outcome.value


def run_word(run: Run, now: Micros, *, ascii_only: bool = False) -> Word:
    """Return what a run is doing or what became of it."""
    if run.outcome is not None:
        return outcome_word(run.outcome, run.reason, ascii_only=ascii_only)
    mark = "" if ascii_only else "… "
    if run.state is State.RUNNING:
        took = max(0, now - (run.started_at or now)) / SECOND
        stopping = " (stopping)" if run.stop_reason is not None else ""
        return Word(f"{mark}running {duration(took)}{stopping}")
    if run.available_at > now:
        return Word(f"{mark}retry in {duration((run.available_at - now) / SECOND)}")
    return Word(f"{mark}queued")


def attempt_word(attempt: Attempt, *, ascii_only: bool = False) -> Word:
    """Return what became of an attempt."""
    if attempt.outcome is None:
        return Word("running" if ascii_only else "… running")
    return outcome_word(attempt.outcome, attempt.reason, ascii_only=ascii_only)


def paused_word(*, ascii_only: bool = False) -> Word:
    """Return `‖ paused`."""
    return Word("paused" if ascii_only else "‖ paused", Tone.YELLOW)
