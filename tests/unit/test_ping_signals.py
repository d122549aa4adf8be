"""What a check is told of a run."""

from __future__ import annotations

from typing import Any

import pytest

from cronq.model import (
    SECOND,
    AttemptEnd,
    AttemptStart,
    Claim,
    Command,
    CommandKind,
    Definition,
    Outcome,
    Run,
    State,
    Trigger,
    Usage,
)
from cronq.ping_signals import FAIL, LOG, START, SUCCESS, of_end, of_launch, of_start
from tests.cli.world import at

NOW = at("2026-01-02T08:00:00Z")
DEFINITION = Definition(Command(CommandKind.ARGV, ("true",)), "@hourly", ping="https://h/x")


def run_of(number: int = 7, **values: Any) -> Run:
    fields: dict[str, Any] = {
        "id": number,
        "job_id": 1,
        "job": "backup",
        "revision": 1,
        "trigger": Trigger.SCHEDULE,
        "state": State.RUNNING,
        "logical_at": NOW,
        "queued_at": NOW,
        "available_at": NOW,
        "fire_at": NOW,
        "attempt": 1,
    }
    return Run(**{**fields, **values})


def claim_of(**values: Any) -> Claim:
    return Claim(run_of(**values), DEFINITION, "w", NOW)


def test_first_attempt_starts_the_run_and_a_retry_does_not() -> None:
    signal = of_start(claim_of(), AttemptStart((7, 1), 4711, NOW + 41_000))
    assert signal is not None
    assert (signal.kind, signal.log) == (START, None)
    assert signal.text == (
        "backup #7, about 2026-01-02T08:00:00Z\nstarted 2026-01-02T08:00:00Z, 0.041s late, by schedule"
    )
    assert of_start(claim_of(attempt=2), AttemptStart((7, 2), 4711, NOW)) is None


@pytest.mark.parametrize(
    ("outcome", "exit_code", "kind"),
    [
        (Outcome.SUCCESS, 0, SUCCESS),
        (Outcome.SUCCESS, 3, SUCCESS),  # --success-codes 3: for the check it is one, too
        (Outcome.FAILURE, 1, "1"),
        (Outcome.FAILURE, 255, "255"),
        (Outcome.FAILURE, 0, FAIL),  # 0 would be a success
        (Outcome.FAILURE, None, FAIL),
        (Outcome.FAILURE, 256, FAIL),
        (Outcome.TIMEOUT, 1, FAIL),
        (Outcome.ABANDONED, None, FAIL),
        (Outcome.CANCELLED, 143, LOG),
    ],
)
def test_end_of_a_run(outcome: Outcome, exit_code: int | None, kind: str) -> None:
    end = AttemptEnd((7, 1), outcome, NOW + SECOND, "why", exit_code=exit_code, usage=Usage(1.5))
    signal = of_end(claim_of(), end, run_of(state=State.DONE, outcome=outcome))
    assert (signal.kind, signal.log) == (kind, (7, 1))
    assert signal.text.splitlines()[1] == f"{outcome.value}: why after 1.500s"


def test_failure_that_is_tried_again_is_not_the_last_word() -> None:
    end = AttemptEnd((7, 1), Outcome.FAILURE, NOW, "exit 1", exit_code=1)
    after = run_of(state=State.QUEUED, available_at=NOW + 10 * SECOND)
    signal = of_end(claim_of(), end, after)
    assert signal.kind == LOG
    assert signal.text.endswith("failure: exit 1\nnext attempt in 10s")


def test_run_that_was_cancelled_before_its_retry_is_no_failure() -> None:
    end = AttemptEnd((7, 1), Outcome.FAILURE, NOW, "exit 1", exit_code=1)
    assert of_end(claim_of(), end, run_of(state=State.DONE, outcome=Outcome.CANCELLED)).kind == LOG


def all_of_them(_run: Run) -> bool:
    return True


def test_jobs_without_a_check_are_passed_over() -> None:
    runs = [passed(1, Outcome.MISSED), passed(2, Outcome.SKIPPED, job_id=2), run_of(3, state=State.QUEUED)]
    asked: list[int] = []

    def is_wanted(run: Run) -> bool:
        asked.append(run.id)
        return run.job_id == 2

    assert [signal.run.id for signal in of_launch(runs, is_wanted)] == [2]
    assert asked == [1, 2]


def passed(number: int, outcome: Outcome, **values: Any) -> Run:
    return run_of(number, state=State.DONE, outcome=outcome, reason="late", attempt=0, **values)


def test_missed_fire_times_are_failures_unless_one_is_caught_up() -> None:
    missed = passed(1, Outcome.MISSED, fire_count=3, last_fire_at=NOW + 2 * SECOND)
    (signal,) = of_launch([missed], all_of_them)
    assert signal.kind == FAIL
    assert signal.text.endswith("3 fire times missed, 2026-01-02T08:00:00Z to 2026-01-02T08:00:02Z: late")
    signals = list(of_launch([missed, run_of(2, state=State.QUEUED, trigger=Trigger.CATCH_UP)], all_of_them))
    assert [(one.run.id, one.kind) for one in signals] == [(1, LOG)]
    # A run of another job catches up nothing of this one.
    signals = list(of_launch([missed, run_of(2, job_id=2, state=State.QUEUED)], all_of_them))
    assert [(one.run.id, one.kind) for one in signals] == [(1, FAIL)]


def test_skipped_fire_times_are_only_mentioned() -> None:
    (signal,) = of_launch([passed(1, Outcome.SKIPPED), run_of(2, state=State.QUEUED)], all_of_them)
    assert (signal.kind, signal.run.id, signal.log) == (LOG, 1, None)
