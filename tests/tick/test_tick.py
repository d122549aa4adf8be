"""`cronq tick` on a database: what is due, what is left, and with which exit code."""

from __future__ import annotations

import signal
import time

import pytest

from tests.tick.world import Project

DB = ("--db", "cronq.db", "--file", "cronq.toml")
HOURLY = '[defaults]\ntz = "UTC"\n[jobs.hourly]\nschedule = "0 * * * *"\n@witness\n'


def test_first_tick_begins_now_and_the_next_one_runs_what_became_due(project: Project) -> None:
    project.jobs(HOURLY)
    assert project.tick("2026-05-01T10:30Z", *DB).summary()["fire_times"] == 0
    done = project.tick("2026-05-01T11:20Z", *DB).summary()
    assert done["outcomes"]["success"] == 1
    assert project.witnessed == ["hourly 2026-05-01T11:00:00Z"]
    assert project.tick("2026-05-01T11:40Z", *DB).summary()["fire_times"] == 0
    assert len(project.witnessed) == 1


def test_dropped_ticks_are_caught_up_by_the_policy_of_the_job(project: Project) -> None:
    project.jobs(
        HOURLY
        + '[jobs.every]\nschedule = "0 * * * *"\ncatch-up = "all"\n@witness\n'
        + '[jobs.none]\nschedule = "0 * * * *"\ncatch-up = "skip"\n@witness\n'
    )
    project.tick("2026-05-01T10:30Z", *DB)
    outcomes = project.tick("2026-05-01T14:10Z", *DB).summary()["outcomes"]
    assert outcomes["success"] == 1 + 4
    assert outcomes["missed"] == 3 + 4
    assert sorted(line for line in project.witnessed if line.startswith("every")) == [
        f"every 2026-05-01T{hour}:00:00Z" for hour in (11, 12, 13, 14)
    ]
    assert project.run("audit", *DB[:2]).code == 0


def test_since_says_where_a_first_tick_begins(project: Project) -> None:
    project.jobs(HOURLY.replace("schedule", 'catch-up = "all"\nschedule'))
    project.tick("2026-05-01T10:30Z", *DB, "--on-missing", "since=2026-05-01T08:00Z")
    assert [line.split()[1] for line in project.witnessed] == [
        "2026-05-01T09:00:00Z",
        "2026-05-01T10:00:00Z",
    ]
    assert project.run("audit", *DB[:2]).code == 0


def test_first_tick_may_be_refused(project: Project) -> None:
    project.jobs(HOURLY)
    done = project.run("tick", *DB, "--on-missing", "fail")
    assert done.code == 5
    assert "--on-missing fail" in done.err
    assert not (project.folder / "cronq.db").exists()


def test_max_age_makes_old_fire_times_missed(project: Project) -> None:
    project.jobs(HOURLY.replace("schedule", 'catch-up = "all"\nschedule'))
    project.tick("2026-05-01T00:30Z", *DB)
    outcomes = project.tick("2026-05-01T06:30Z", *DB, "--max-age", "2h").summary()["outcomes"]
    assert (outcomes["success"], outcomes["missed"]) == (2, 4)


@pytest.mark.parametrize(
    ("toml", "hint"),
    [
        ('[jobs.a]\nscedule = "0 * * * *"\nshell = "true"\n', "schedule"),
        ('[jobs.a]\nschedule = "61 * * * *"\nshell = "true"\n', "61"),
        ('[jobs.a]\nschedule = "0 * * * *"\n', "command"),
        ("[jobs.a\n", ""),
    ],
)
def test_invalid_configuration_is_never_exit_0(project: Project, toml: str, hint: str) -> None:
    project.jobs(HOURLY)
    project.tick("2026-05-01T10:30Z", *DB)
    project.jobs(toml)
    done = project.run("tick", *DB, "--now", "2026-05-01T12:30Z")
    assert done.code == 2
    assert hint in done.err
    assert project.witnessed == []


@pytest.mark.parametrize(
    "options",
    [
        ("--budget", "20"),
        ("--on-missing", "never"),
        ("--fail-on", "late"),
        ("--now", "whenever"),
        ("--workers", "0"),
        ("--max-age", "old"),
        ("--output", "some"),
    ],
)
def test_wrong_options_change_nothing(project: Project, options: tuple[str, ...]) -> None:
    project.jobs(HOURLY)
    done = project.run("tick", *DB, *options)
    assert done.code == 2
    assert options[0] in done.err
    assert not (project.folder / "cronq.db").exists()


def test_wrong_options_are_told_at_once(project: Project) -> None:
    done = project.run("tick", "--file", "no.toml", "--budget", "20", "--fail-on", "x")
    assert done.code == 2
    assert done.err.count("error:") == 3


def test_tick_without_any_jobs_is_not_exit_0(project: Project) -> None:
    done = project.run("tick")
    assert done.code == 2
    assert "neither" in done.err
    assert not list(project.folder.glob(".local/**/*.db"))
    project.jobs("")
    assert "defines no jobs" in project.run("tick", *DB).err


def test_failed_job_is_exit_1_and_a_waiting_retry_is_not(project: Project) -> None:
    project.jobs('[jobs.bad]\nschedule = "0 * * * *"\ntz = "UTC"\nshell = "exit 3"\n')
    project.tick("2026-05-01T10:30Z", *DB)
    project.tick("2026-05-01T11:30Z", *DB, code=1)
    with_retry = 'shell = "exit 3"\nretries = 1\nretry-delay = "30m"\n'
    project.jobs(f'[jobs.bad]\nschedule = "0 * * * *"\ntz = "UTC"\n{with_retry}')
    project.tick("2026-05-01T11:50Z", *DB)
    summary = project.tick("2026-05-01T12:30Z", *DB).summary()
    assert summary["waiting"] == 1
    summary = project.tick("2026-05-01T13:30Z", *DB, code=1).summary()
    assert (summary["outcomes"]["failure"], summary["waiting"]) == (1, 1)


def test_fail_on_missed_skipped_and_late(project: Project) -> None:
    project.jobs(HOURLY)
    project.tick("2026-05-01T10:30Z", *DB)
    project.tick("2026-05-01T11:05Z", *DB, "--fail-on", "missed,skipped,late=10m")
    project.tick("2026-05-01T12:15Z", *DB, "--fail-on", "missed,skipped")
    project.tick("2026-05-01T13:15Z", *DB, "--fail-on", "late=10m", code=1)
    project.tick("2026-05-01T15:01Z", *DB, "--fail-on", "missed", code=1)


def test_only_leaves_the_others_due(project: Project) -> None:
    project.jobs(HOURLY + '[jobs.other]\nschedule = "0 * * * *"\n@witness\n')
    project.tick("2026-05-01T10:30Z", *DB)
    project.tick("2026-05-01T11:05Z", *DB, "--only", "other")
    assert project.witnessed == ["other 2026-05-01T11:00:00Z"]
    project.tick("2026-05-01T11:10Z", *DB)
    assert project.witnessed[1:] == ["hourly 2026-05-01T11:00:00Z"]
    done = project.run("tick", *DB, "--only", "othr")
    assert done.code == 3
    assert "did you mean `other`?" in done.err


def test_runs_beyond_the_limits_of_their_job_are_removed(project: Project) -> None:
    project.jobs(HOURLY.replace("schedule", 'keep = "2"\nschedule'))
    project.tick("2026-05-01T10:30Z", *DB)
    for hour in range(11, 17):
        project.tick(f"2026-05-01T{hour}:30Z", *DB)
    assert len(project.witnessed) == 6
    assert [row["fire_at"] for row in project.rows(*DB[:2])] == [
        "2026-05-01T15:00:00Z",
        "2026-05-01T16:00:00Z",
    ]
    assert project.run("audit", *DB[:2]).code == 0


def test_tag_leaves_jobs_without_it_due(project: Project) -> None:
    project.jobs(
        HOURLY + '[jobs.quick]\nschedule = "0 * * * *"\ntag = ["fast", "small"]\n@witness\n'
        '[jobs.slow]\nschedule = "0 * * * *"\ntag = "big"\n@witness\n'
    )
    project.tick("2026-05-01T10:30Z", *DB)
    project.tick("2026-05-01T11:05Z", *DB, "--tag", "fast,big", "--only", "quick,hourly")
    assert project.witnessed == ["quick 2026-05-01T11:00:00Z"]
    project.tick("2026-05-01T11:06Z", *DB, "--tag", "big")
    assert project.witnessed[1:] == ["slow 2026-05-01T11:00:00Z"]
    assert project.run("list", *DB[:2], "--tag", "small", "-q").out == "quick\n"
    assert 'tag = ["fast", "small"]' in project.run("export", *DB[:2]).out
    done = project.run("tick", *DB, "--tag", "none-such")
    assert done.code == 3
    assert "none-such" in done.err


def test_dry_run_prints_decisions_and_changes_nothing(project: Project) -> None:
    project.jobs(HOURLY)
    project.tick("2026-05-01T10:30Z", *DB)
    before = (project.folder / "cronq.db").read_bytes()
    done = project.run("tick", *DB, "--now", "2026-05-01T13:30Z", "--dry-run")
    assert [line.split("\t")[1:] for line in done.out.splitlines()] == [
        ["hourly", "missed ×2: late: superseded by a newer fire time"],
        ["hourly", "run (catch-up)"],
    ]
    assert (project.folder / "cronq.db").read_bytes() == before
    assert project.witnessed == []


def test_unchanged_file_writes_nothing(project: Project) -> None:
    project.jobs(HOURLY)
    project.tick("2026-05-01T10:30Z", *DB)
    before = (project.folder / "cronq.db").read_bytes()
    project.tick("2026-05-01T10:40Z", *DB)
    assert (project.folder / "cronq.db").read_bytes() == before


def test_job_that_the_file_no_longer_names_does_not_run(project: Project) -> None:
    project.jobs(HOURLY + '[jobs.other]\nschedule = "0 * * * *"\n@witness\n')
    project.tick("2026-05-01T10:30Z", *DB)
    project.jobs(HOURLY)
    project.tick("2026-05-01T11:05Z", *DB)
    assert project.witnessed == ["hourly 2026-05-01T11:00:00Z"]
    assert project.run("audit", *DB[:2]).code == 0


def test_job_that_was_changed_by_hand_is_what_the_file_says_again(project: Project) -> None:
    project.jobs(HOURLY)
    project.tick("2026-05-01T10:30Z", *DB)
    assert project.run("set", "hourly", *DB[:2], "--timeout", "7s").code == 0
    project.tick("2026-05-01T10:40Z", *DB)
    assert "7s" not in project.run("show", "hourly", *DB[:2]).out


def test_budget_leaves_what_was_not_started_to_the_next_tick(project: Project) -> None:
    project.jobs(
        '[defaults]\ntz = "UTC"\ncatch-up = "all"\noverlap = "queue"\n'
        '[jobs.slow]\nschedule = "0 * * * *"\nshell = "sleep 2; echo $CRONQ_FIRE_TIME >> seen"\n'
    )
    project.tick("2026-05-01T10:30Z", *DB)
    summary = project.tick("2026-05-01T13:30Z", *DB, "--budget", "1s", code=75).summary()
    assert summary["budget_spent"]
    assert (summary["outcomes"]["success"], summary["waiting"]) == (1, 2)
    assert project.tick("2026-05-01T13:40Z", *DB).summary()["outcomes"]["success"] == 2
    assert len(set((project.folder / "seen").read_text().split())) == 3


def test_what_outlasts_the_budget_is_cancelled(project: Project) -> None:
    project.jobs('[jobs.long]\ntz = "UTC"\nschedule = "0 * * * *"\nshell = "sleep 600"\n')
    project.tick("2026-05-01T10:30Z", *DB)
    summary = project.tick("2026-05-01T11:30Z", *DB, "--budget", "1s", "--drain", "1s", code=75).summary()
    assert summary["outcomes"]["cancelled"] == 1
    (row,) = project.rows(*DB[:2])
    assert (row["outcome"], row["reason"]) == ("cancelled", "the budget of the tick was spent")


@pytest.mark.parametrize(("retries", "state"), [(0, "done"), (1, "queued")])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_cancels_and_the_crash_rule_decides(
    project: Project, number: signal.Signals, retries: int, state: str
) -> None:
    project.jobs(
        f'[jobs.long]\ntz = "UTC"\nschedule = "0 * * * *"\nretries = {retries}\n'
        'shell = "trap : TERM; test $CRONQ_ATTEMPT = 2 || sleep 600 & wait; wait"\n'
    )
    project.tick("2026-05-01T10:30Z", *DB)
    process = project.start("tick", "--json", *DB, "--now", "2026-05-01T11:30Z")
    assert process.stdout is not None
    for line in process.stdout:
        if '"attempt_started"' in line:
            break
    began = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - began < 9
    (row,) = project.rows(*DB[:2])
    assert row["state"] == state
    project.tick("2026-05-01T11:40Z", *DB)
    (row,) = project.rows(*DB[:2])
    assert row["outcome"] == ("success" if retries else "cancelled")
    assert project.run("audit", *DB[:2]).code == 0


def test_second_tick_at_once_is_refused_or_waits(project: Project) -> None:
    project.jobs(
        '[jobs.slow]\ntz = "UTC"\nschedule = "0 * * * *"\nshell = "until test -e go; do sleep 0.05; done"\n'
    )
    project.tick("2026-05-01T10:30Z", *DB)
    process = project.start("tick", "--json", *DB, "--now", "2026-05-01T11:30Z")
    assert process.stdout is not None
    for line in process.stdout:
        if '"attempt_started"' in line:
            break
    done = project.run("tick", *DB, "--now", "2026-05-01T11:31Z")
    assert done.code == 4
    assert f"pid {process.pid}" in done.err
    waiting = project.start("tick", *DB, "--now", "2026-05-01T11:31Z", "--wait", "30s")
    (project.folder / "go").touch()
    process.communicate(timeout=30)
    waiting.communicate(timeout=30)
    assert (process.returncode, waiting.returncode) == (0, 0)
    assert len(project.rows(*DB[:2])) == 1
