"""Worlds for people's own tests, used as people use them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cronq.pytest_plugin import Worlds
from cronq.testing import CannotPlay, World

NIGHTLY = """
[jobs.nightly]
schedule = "30 2 * * *"
command = ["no-such-program", "--really"]
"""
SPRING = "2026-03-29T00:00 Europe/Berlin"
BERLIN = ZoneInfo("Europe/Berlin")


def outcomes(world: World, job: str) -> list[str | None]:
    return [run.outcome for run in world.runs(job)]


def test_tick_that_is_dropped_on_the_night_of_the_clock_change_is_caught_up(cronq: Worlds) -> None:
    world = cronq(NIGHTLY, at=SPRING)
    world.down("02:00", "04:00")
    world.run_until("2026-03-29T12:00")
    (run,) = world.runs("nightly")
    # 02:30 does not exist that night: the rule puts it at the first minute after the gap.
    assert run.fire_at == datetime(2026, 3, 29, 3, 0, tzinfo=BERLIN)
    assert run.started_at == datetime(2026, 3, 29, 4, 0, tzinfo=BERLIN)
    assert (run.outcome, run.trigger, run.lag) == ("success", "catch_up", timedelta(hours=1))


def test_tick_that_is_dropped_is_missed_under_catch_up_skip(cronq: Worlds) -> None:
    world = cronq(f'{NIGHTLY}catch-up = "skip"\n', at=SPRING)
    world.down("02:00", "04:00")
    world.run_until("2026-03-29T12:00")
    assert outcomes(world, "nightly") == ["missed"]


def test_lag_is_true_across_a_clock_change(cronq: Worlds) -> None:
    world = cronq(NIGHTLY.replace("30 2", "30 1"), at="2026-10-25T00:00 Europe/Berlin")
    world.down("01:00", datetime(2026, 10, 25, 2, 0, tzinfo=UTC))
    world.run_until("2026-10-25T12:00")
    (run,) = world.runs("nightly")
    assert (run.started_at, run.lag) == (
        datetime(2026, 10, 25, 3, 0, tzinfo=BERLIN),
        timedelta(hours=2, minutes=30),
    )


def test_commands_do_what_the_test_says(cronq: Worlds) -> None:
    world = cronq(f'{NIGHTLY}retries = 2\nretry-delay = "1m"\nretry-jitter = 0\n', at="2026-05-01 UTC")
    world.plays("nightly", takes="10m", exit_code=[3, 0])
    world.run_for("1d")
    world.plays("nightly", exit_code=3)
    world.run_for(timedelta(days=1))
    first, second = world.runs("nightly")
    assert (first.outcome, first.attempts) == ("success", 2)
    assert first.finished_at == datetime(2026, 5, 1, 2, 51, tzinfo=UTC)
    assert (second.outcome, second.reason, second.attempts) == ("failure", "exit 3", 3)


def test_exit_codes_that_the_job_takes_for_success_are_one(cronq: Worlds) -> None:
    world = cronq(f"{NIGHTLY}success-codes = [0, 24]\n", at="2026-05-01 UTC")
    world.plays("nightly", exit_code=24)
    world.run_for("1d")
    assert outcomes(world, "nightly") == ["success"]


def test_command_that_takes_too_long_times_out(cronq: Worlds) -> None:
    world = cronq(f'{NIGHTLY}timeout = "5m"\n', at="2026-05-01 UTC")
    world.plays("nightly", takes="1h")
    world.run_for("1d")
    (run,) = world.runs("nightly")
    assert (run.outcome, run.reason) == ("timeout", "timeout 300s")
    assert run.finished_at == datetime(2026, 5, 1, 2, 35, tzinfo=UTC)


def test_overlap_is_skipped_and_says_why(cronq: Worlds) -> None:
    world = cronq(NIGHTLY.replace("30 2 * * *", "0 * * * *"), at="2026-05-01T00:30 UTC")
    world.plays("nightly", takes="90m")
    world.run_until("04:00")  # whose fire time is still to come
    assert len(world.runs()) == 3
    world.run_for("1s")
    assert [(run.outcome, run.reason) for run in world.runs()] == [
        ("success", ""),
        ("skipped", "overlap: a run is active"),
        (None, ""),
        ("skipped", "overlap: a run is active"),
    ]


def test_what_runs_outlives_the_scheduler_but_not_the_machine(cronq: Worlds) -> None:
    for machine, outcome in ((False, "success"), (True, "abandoned")):
        world = cronq(NIGHTLY, at="2026-05-01 UTC")
        world.plays("nightly", takes="30m")
        world.down("02:40", "04:00", machine=machine)
        world.run_for("1d")
        assert outcomes(world, "nightly") == [outcome]


def test_time_goes_on_in_steps_that_end_within_a_time_without_a_scheduler(cronq: Worlds) -> None:
    world = cronq(NIGHTLY, at="2026-05-01 UTC")
    world.plays("nightly", takes="30m")
    world.down("02:40", "04:00", machine=True)
    world.down("05:00", "06:00")
    world.run_until("03:00")
    assert outcomes(world, "nightly") == [None]
    world.run_until("05:30")
    assert outcomes(world, "nightly") == ["abandoned"]
    assert world.now == datetime(2026, 5, 1, 5, 30, tzinfo=UTC)


def test_jobs_can_be_paused_triggered_and_resumed(cronq: Worlds) -> None:
    world = cronq(NIGHTLY, at="2026-05-01 UTC")
    world.pause("nightly")
    world.run_for("3d")
    world.resume("nightly")
    world.trigger("nightly")
    world.run_for("1d")
    assert [(run.outcome, run.trigger, run.fire_count) for run in world.runs("nightly")] == [
        ("skipped", "schedule", 3),
        ("success", "manual", 1),
        ("success", "schedule", 1),
    ]
    assert world.runs("nightly")[1].fire_at is None


def test_python_functions_are_not_called_either(cronq: Worlds) -> None:
    text = '[jobs.call]\nschedule = "@hourly"\npython = "no.such.module:function"\n'
    world = cronq(text, at="2026-05-01T00:30 UTC")
    world.run_for("1h")
    assert outcomes(world, "call") == ["success"]


def test_calendars_locks_and_start_ups_of_the_file_count(cronq: Worlds) -> None:
    text = """
    [locks]
    db = 1
    [calendars]
    closed = ["2026-05-01"]
    [jobs.report]
    schedule = "0 9 * * *"
    calendar = "closed:skip"
    lock = "db"
    command = ["true"]
    [jobs.sync]
    schedule = "0 9 * * *"
    lock = "db"
    command = ["true"]
    [jobs.warm]
    schedule = "@reboot"
    command = ["true"]
    """
    world = cronq(text, at="2026-05-01T00:30 UTC")
    world.plays("report", takes="10m")
    world.plays("sync", takes="10m")
    world.run_for("2d")
    assert len(world.runs("report")) == 1
    assert [run.trigger for run in world.runs("warm")] == ["startup"]
    starts = [run.started_at for job in ("report", "sync") for run in world.runs(job)[-1:]]
    assert sorted(start.minute for start in starts if start) == [0, 10]


def test_file_is_found_beside_the_test_and_above(tmp_path: Path) -> None:
    root, deep = tmp_path / "repo", tmp_path / "repo" / "tests" / "jobs"
    deep.mkdir(parents=True)
    (root / "cronq.toml").write_text(NIGHTLY)
    (tmp_path / "elsewhere.toml").write_text(NIGHTLY)
    worlds = Worlds(deep, root, pytest.TempPathFactory.__new__(pytest.TempPathFactory))
    assert worlds._found("cronq.toml") == root / "cronq.toml"
    assert worlds._found("elsewhere.toml") == root / "elsewhere.toml"  # which is not: not above the root
    (deep / "cronq.toml").write_text(NIGHTLY)
    assert worlds._found("cronq.toml") == deep / "cronq.toml"


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        (NIGHTLY.replace("schedule", "scedule"), SPRING, "did you mean `schedule`?"),
        (NIGHTLY.replace("30 2", "60 2"), SPRING, "minute 60 is out of range 0-59"),
        (NIGHTLY, "2026-03-29T00:00 Europe/Berln", "Europe/Berlin"),
        (NIGHTLY, "2026-03-99", "day 99 is out of range"),
        (NIGHTLY, datetime(2026, 3, 29), "has no zone"),  # noqa: DTZ001
        ("cronq.tmol", SPRING, "there is no file"),
    ],
)
def test_what_is_wrong_is_said_as_the_command_line_says_it(
    cronq: Worlds, text: str, at: str | datetime, says: str
) -> None:
    with pytest.raises(CannotPlay) as caught:
        cronq(text, at=at)
    assert str(caught.value).startswith("error: ")
    assert says in str(caught.value)


def test_wrong_names_and_times_are_refused_and_change_nothing(cronq: Worlds) -> None:
    world = cronq(NIGHTLY, at="2026-05-01T12:00 UTC")
    with pytest.raises(CannotPlay, match="did you mean `nightly`"):
        world.plays("nigthly", takes="5m")
    with pytest.raises(CannotPlay, match="did you mean `nightly`"):
        world.runs("nigthly")
    with pytest.raises(CannotPlay, match="has no unit"):
        world.plays("nightly", takes="5")
    with pytest.raises(CannotPlay, match="has passed"):
        world.run_until("2026-04-30")
    with pytest.raises(CannotPlay, match="is not after"):
        world.down("2026-05-02T02:00", "2026-05-02T01:00")
    world.down("13:00", "14:00")
    with pytest.raises(CannotPlay, match="overlap"):
        world.down("13:30", "15:00")
    assert world.now == datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_worlds_are_strangers_to_one_another_and_to_this_machine(
    cronq: Worlds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRONQ_DB", str(tmp_path / "mine.db"))
    one, other = cronq(NIGHTLY, at=SPRING), cronq(NIGHTLY, at=SPRING)
    one.run_for("1d")
    assert (len(one.runs()), len(other.runs())) == (1, 0)
    assert not list(tmp_path.iterdir())
