"""The dead man's switch: what is expected of a job by now."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cronq.model import SECOND, Command, CommandKind, Definition, Job, Micros
from cronq.overdue import Standing, Success, Verdict, Watched, judge
from cronq.schedule import parse
from cronq.timing import placement_of
from tests.cli.world import at

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
TRUE = Command(CommandKind.ARGV, ("true",))
DAY = at("2026-03-10T00:00:00Z")


def watched(
    schedule: str = "0 * * * *",
    *,
    since: Micros = DAY,
    success: Micros | None = None,
    took_s: float = 0.0,
    is_paused: bool = False,
    about: Micros | None = None,
    **fields: object,
) -> Watched:
    """Return a job; `success` is when the last one ended."""
    definition = Definition(TRUE, schedule, **fields)  # type: ignore[arg-type]
    job = Job(1, "job", 1, definition, since, since)
    known = None if success is None else Success(success if about is None else about, success)
    times = parse(schedule, tz=definition.tz)
    return Watched("job", definition, times, since, placement_of(job), known, is_paused, took_s)


def standing(job: Watched, now: Micros, **options: float) -> Standing:
    return judge(job, now, **options).standing


def test_a_fire_time_has_its_grace_and_the_time_that_a_success_takes() -> None:
    job = watched(success=DAY + HOUR + 5 * SECOND, took_s=30.0, grace_s=60.0)
    due_by = DAY + 2 * HOUR + 90 * SECOND
    assert standing(job, due_by - 1) is Standing.OK
    assert judge(job, due_by) == Verdict("job", Standing.OVERDUE, job.success, DAY + 2 * HOUR, due_by)


def test_a_timeout_says_how_long_a_success_may_take() -> None:
    job = watched(success=DAY + HOUR, took_s=5000.0, timeout_s=600.0)
    assert standing(job, DAY + 2 * HOUR + 11 * MINUTE - 1) is Standing.OK
    assert standing(job, DAY + 2 * HOUR + 11 * MINUTE) is Standing.OVERDUE


def test_retries_may_still_bring_it() -> None:
    options: dict[str, Any] = {
        "grace_s": 0.0,
        "retries": 3,
        "retry_delay_s": 10.0,
        "retry_factor": 3.0,
        "retry_max_delay_s": 40.0,
    }
    job = watched(success=DAY + HOUR, took_s=5.0, **options)
    # Four attempts, and delays of 10, 30 and 40 seconds.
    assert standing(job, DAY + 2 * HOUR + 100 * SECOND - 1) is Standing.OK
    assert standing(job, DAY + 2 * HOUR + 100 * SECOND) is Standing.OVERDUE


def test_patience_that_is_asked_for_counts_instead() -> None:
    job = watched(success=DAY + HOUR, timeout_s=600.0)
    assert standing(job, DAY + 2 * HOUR, late_s=0) is Standing.OVERDUE
    assert standing(job, DAY + 2 * HOUR - 1, late_s=0) is Standing.OK
    assert standing(job, DAY + 5 * HOUR - 1, late_s=3 * 3600) is Standing.OK
    assert standing(job, DAY + 5 * HOUR, late_s=3 * 3600) is Standing.OVERDUE


def test_nothing_is_expected_of_the_time_before_the_job() -> None:
    assert standing(watched(since=DAY + HOUR), DAY + HOUR + 59 * MINUTE) is Standing.WAITING
    assert standing(watched(since=DAY + HOUR), DAY + 2 * HOUR + 2 * MINUTE) is Standing.OVERDUE


def test_a_success_that_ended_after_the_fire_time_counts_whatever_it_was_about() -> None:
    # It runs for longer than its interval: every other fire time is skipped.
    job = watched("* * * * *", success=DAY + 3 * MINUTE + 1, about=DAY + MINUTE, took_s=120.0)
    assert standing(job, DAY + 6 * MINUTE - 1) is Standing.OK
    assert standing(job, DAY + 7 * MINUTE) is Standing.OVERDUE


def test_paused_jobs_are_not_judged() -> None:
    job = watched(is_paused=True)
    assert standing(job, DAY + 9 * HOUR) is Standing.PAUSED
    assert standing(job, DAY + 9 * HOUR, within_s=1) is Standing.PAUSED


def test_what_cannot_be_read_is_told() -> None:
    job = watched()._replace(times=None, trouble="unknown zone")
    assert judge(job, DAY) == Verdict("job", Standing.UNKNOWN, None, trouble="unknown zone")


def test_a_fire_time_that_a_blackout_drops_expects_nothing() -> None:
    job = watched(success=DAY + HOUR, blackouts=("01:30-05:30:drop",), tz="UTC")
    assert standing(job, DAY + 5 * HOUR + 59 * MINUTE) is Standing.OK
    assert standing(job, DAY + 6 * HOUR + 2 * MINUTE) is Standing.OVERDUE


def test_a_fire_time_that_a_blackout_defers_has_the_time_after_it() -> None:
    job = watched(
        "0 2 * * *", success=DAY - 22 * HOUR, since=DAY - 48 * HOUR, blackouts=("01:30-05:30:defer",)
    )
    due_by = DAY + 5 * HOUR + 31 * MINUTE
    assert standing(job, due_by - 1) is Standing.OK
    assert judge(job, due_by)[1:5] == (Standing.OVERDUE, job.success, DAY + 2 * HOUR, due_by)


def test_blackouts_that_drop_all_come_to_an_end() -> None:
    job = watched("0 12 * * *", since=0, blackouts=("11:00-13:00:drop",))
    assert standing(job, DAY) is Standing.WAITING


def test_jitter_is_waited_for() -> None:
    job = watched(success=DAY + HOUR, jitter="30m", grace_s=0.0)
    placement = job.placement
    assert placement is not None
    delay = placement.delay_us(DAY + 2 * HOUR)
    assert 0 < delay < 30 * MINUTE
    assert standing(job, DAY + 2 * HOUR + delay - 1) is Standing.OK
    assert standing(job, DAY + 2 * HOUR + delay) is Standing.OVERDUE


@pytest.mark.parametrize(
    ("success", "now", "expected"),
    [
        (DAY + HOUR, DAY + 3 * HOUR, Standing.OK),
        (DAY + HOUR, DAY + 3 * HOUR + 1, Standing.OVERDUE),
        (None, DAY + 2 * HOUR - 1, Standing.WAITING),
        (None, DAY + 2 * HOUR + 1, Standing.OVERDUE),
    ],
)
def test_a_window_is_counted_from_the_end_of_the_last_success(
    success: Micros | None, now: Micros, expected: Standing
) -> None:
    assert standing(watched(success=success), now, within_s=7200) is expected


def test_a_window_does_not_ask_what_the_schedule_says() -> None:
    job = watched("0 2 * * *", success=DAY + 2 * HOUR, since=DAY - 48 * HOUR)
    assert standing(job, DAY + 5 * HOUR) is Standing.OK
    verdict = judge(job, DAY + 5 * HOUR, within_s=7200)
    assert (verdict.standing, verdict.due_by) == (Standing.OVERDUE, DAY + 4 * HOUR)


def test_a_window_waits_for_the_first_fire_time() -> None:
    job = watched("0 0 1 1 *", since=DAY)
    assert standing(job, DAY + 90 * 24 * HOUR, within_s=7200) is Standing.WAITING


def test_a_job_that_is_over_owes_nothing_if_it_ended_well() -> None:
    job = watched("at 2026-03-10T02:00", success=DAY + 2 * HOUR + 1)
    assert standing(job, DAY + 900 * HOUR, within_s=7200) is Standing.OK
    assert standing(job._replace(success=None), DAY + 900 * HOUR, within_s=7200) is Standing.OVERDUE
    assert standing(job._replace(success=None), DAY + 900 * HOUR) is Standing.OVERDUE


def test_a_job_without_fire_times_is_not_expected() -> None:
    assert standing(watched("@reboot"), DAY + HOUR) is Standing.WAITING
    assert standing(watched("@reboot"), DAY + HOUR, within_s=1) is Standing.WAITING


def test_silence_is_noticed_and_success_is_believed() -> None:
    """Whatever the times: without a success it ends up overdue, and one that just ended is in time."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for _ in range(300):
        schedule = dice.choice(["* * * * *", "*/7 * * * *", "17 */3 * * *", "every 90m", "30 2 * * *"])
        fields: dict[str, Any] = {"grace_s": dice.uniform(0, 4000), "tz": "Europe/Berlin"}
        if dice.random() < 0.3:
            fields |= {"retries": dice.randrange(5), "retry_factor": 1e300, "retry_max_delay_s": 600.0}
        if dice.random() < 0.3:
            fields["timeout_s"] = dice.uniform(1, 4000)
        job = watched(schedule, took_s=dice.uniform(0, 4000), **fields)
        now = DAY + dice.randrange(72 * HOUR, 900 * HOUR)
        assert standing(job, now) is Standing.OVERDUE
        assert standing(job, now, within_s=dice.uniform(1, 7200)) is Standing.OVERDUE
        fresh = job._replace(success=Success(now, now))
        assert standing(fresh, now) is Standing.OK
        assert standing(fresh, now, within_s=1) is Standing.OK
