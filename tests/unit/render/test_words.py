"""Outcomes in words, and sparklines."""

from __future__ import annotations

import pytest

from cronq.model import SECOND, Attempt, Outcome, Run, State, Trigger
from cronq.render.spark import sparkline
from cronq.render.text import Tone
from cronq.render.words import attempt_word, outcome_word, paused_word, run_word

NOW = 1_767_340_800 * SECOND


@pytest.mark.parametrize(
    ("outcome", "reason", "shown", "in_ascii"),
    [
        (Outcome.SUCCESS, "", "✓ ok", "ok"),
        (Outcome.FAILURE, "exit 23", "✗ exit 23", "FAIL exit 23"),
        (Outcome.FAILURE, "signal 9 (KILL)", "✗ signal 9 (KILL)", "FAIL signal 9 (KILL)"),
        (Outcome.FAILURE, "", "✗ failed", "FAIL"),
        (Outcome.FAILURE, "spawn_error: \x1b[2J", "✗ spawn_error: ^[[2J", "FAIL spawn_error: ^[[2J"),
        (Outcome.TIMEOUT, "timeout 30s", "⧗ timeout 30s", "timeout 30s"),
        (Outcome.TIMEOUT, "", "⧗ timeout", "timeout"),
        (Outcome.ABANDONED, "worker died", "? abandoned", "abandoned"),
        (Outcome.CANCELLED, "by hand", "⊘ cancelled", "cancelled"),
        (Outcome.SKIPPED, "paused", "· skipped", "skipped"),
        (Outcome.MISSED, "late", "· missed", "missed"),
    ],
)
def test_outcome_word(outcome: Outcome, reason: str, shown: str, in_ascii: str) -> None:
    assert outcome_word(outcome, reason).text == shown
    assert outcome_word(outcome, reason, ascii_only=True).text == in_ascii
    assert in_ascii.isascii()


def test_red_is_for_failure_only() -> None:
    red = {outcome for outcome in Outcome if outcome_word(outcome).tone is Tone.RED}
    assert red == {Outcome.FAILURE, Outcome.TIMEOUT, Outcome.ABANDONED}


def run(state: State, **more: object) -> Run:
    return Run(1, 1, "a", 1, Trigger.SCHEDULE, state, NOW, NOW, NOW, **more)  # type: ignore[arg-type]


def test_run_word_of_runs_that_are_not_done() -> None:
    assert run_word(run(State.QUEUED), NOW).text == "… queued"
    waiting = Run(1, 1, "a", 1, Trigger.SCHEDULE, State.QUEUED, NOW, NOW, NOW + 30 * SECOND)
    assert run_word(waiting, NOW).text == "… retry in 30s"
    running = run(State.RUNNING, started_at=NOW - 12 * SECOND)
    assert run_word(running, NOW).text == "… running 12s"
    assert (
        run_word(run(State.RUNNING, stop_reason="x"), NOW, ascii_only=True).text == "running 0ms (stopping)"
    )


def test_attempt_and_paused_words() -> None:
    attempt = Attempt(1, 1, "w", "b", NOW)
    assert attempt_word(attempt).text == "… running"
    assert (paused_word().text, paused_word(ascii_only=True).text) == ("‖ paused", "paused")


@pytest.mark.parametrize(
    ("durations", "shown", "in_ascii"),
    [
        ([], "", ""),
        ([1.0], "█", "@"),
        ([0.0], "▁", "_"),
        ([1.0, 2.0, 4.0, 8.0], "▂▃▅█", ".-+@"),
    ],
)
def test_sparkline_is_linear_from_nought(durations: list[float], shown: str, in_ascii: str) -> None:
    runs = [(Outcome.SUCCESS, seconds) for seconds in durations]
    assert sparkline(runs) == shown
    assert sparkline(runs, ascii_only=True) == in_ascii


def test_sparkline_marks_failures_whatever_they_took() -> None:
    runs = [(Outcome.SUCCESS, 1.0), (Outcome.FAILURE, 100.0), (Outcome.SKIPPED, None), (Outcome.TIMEOUT, 1.0)]
    assert sparkline(runs) == "█×·×"
    assert sparkline(runs, ascii_only=True) == "@x x"
