"""`cronq tick --state`: the text is the truth, whatever was lost, killed, copied or damaged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tick.world import Project

STATE = ("--state", "cursor", "--file", "cronq.toml")
DB = ("--db", "cursor.db")
HOURLY = '[defaults]\ntz = "UTC"\ncatch-up = "all"\n[jobs.hourly]\nschedule = "0 * * * *"\n@witness\n'
SLOW = (
    '[defaults]\ntz = "UTC"\n[jobs.slow]\nschedule = "0 * * * *"\n'
    'shell = "echo $CRONQ_FIRE_TIME >> seen; test -e go || sleep 600"\n'
)


def text_of(project: Project) -> str:
    return (project.folder / "cursor").read_text()


def forget_ledger(project: Project) -> None:
    """Be another runner: of this one only the state is left."""
    for path in project.folder.glob("cursor.db*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("keeps_ledger", [True, False], ids=["same runner", "other runner"])
def test_each_fire_time_runs_once_wherever_the_next_tick_is(project: Project, keeps_ledger: bool) -> None:
    project.jobs(HOURLY)
    for number, now in enumerate(("10:30", "11:20", "13:05", "13:06", "15:59")):
        summary = project.tick(f"2026-05-01T{now}Z", *STATE).summary()
        assert summary["fire_times"] == (0, 1, 2, 0, 2)[number]
        if number == 0 or not keeps_ledger:
            assert project.run("audit", *DB).code == 0
        if not keeps_ledger:
            forget_ledger(project)
    assert project.witnessed == [f"hourly 2026-05-01T{hour}:00:00Z" for hour in range(11, 16)]
    assert (project.folder / "cursor").stat().st_mode & 0o777 == 0o600


def test_tick_without_news_leaves_the_text_alone(project: Project) -> None:
    project.jobs(HOURLY)
    project.tick("2026-05-01T10:30Z", *STATE)
    before = (project.folder / "cursor").stat()
    project.tick("2026-05-01T10:40Z", *STATE)
    forget_ledger(project)
    project.tick("2026-05-01T10:50Z", *STATE)
    after = (project.folder / "cursor").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_lost_state_begins_anew_or_is_refused(project: Project) -> None:
    project.jobs(HOURLY)
    project.tick("2026-05-01T10:30Z", *STATE)
    (project.folder / "cursor").unlink()
    done = project.tick("2026-05-01T12:30Z", *STATE, "--on-missing", "fail", code=5)
    assert "--on-missing fail" in done.err
    assert project.tick("2026-05-01T12:30Z", *STATE).summary()["fire_times"] == 0
    (project.folder / "cursor").unlink()
    project.tick("2026-05-01T13:30Z", *STATE, "--on-missing", "since=2026-05-01T12:30Z")
    assert project.witnessed == ["hourly 2026-05-01T13:00:00Z"]


@pytest.mark.parametrize("keeps_ledger", [True, False], ids=["same runner", "other runner"])
def test_dry_run_leaves_state_and_ledger_alone(project: Project, keeps_ledger: bool) -> None:
    project.jobs(HOURLY)
    project.tick("2026-05-01T10:30Z", *STATE)
    if not keeps_ledger:
        forget_ledger(project)
    before = {path.name: path.read_bytes() for path in project.folder.glob("cursor*") if path.is_file()}
    done = project.run("tick", *STATE, "--now", "2026-05-01T12:30Z", "--dry-run")
    assert [line.split("\t")[2] for line in done.out.splitlines()] == ["run (catch-up)"] * 2
    after = {path.name: path.read_bytes() for path in project.folder.glob("cursor*") if path.is_file()}
    assert after == before


def test_invalid_file_changes_nothing_even_if_the_state_is_lost(project: Project) -> None:
    project.jobs(HOURLY)
    project.tick("2026-05-01T10:30Z", *STATE)
    project.tick("2026-05-01T11:30Z", *STATE)
    project.jobs(HOURLY + "colour = 'red'\n")
    for name in ("cursor", "cursor.db"):
        before = {path.name: path.read_bytes() for path in project.folder.glob("cursor*.db")}
        done = project.run("tick", *STATE, "--now", "2026-05-01T12:30Z")
        assert done.code == 2
        assert "cronq.toml:7" in done.err
        assert {path.name: path.read_bytes() for path in project.folder.glob("cursor*.db")} == before
        (project.folder / name).unlink(missing_ok=True)
    assert project.run("tick", *STATE).code == 2
    assert not (project.folder / "cursor.db").exists()
    assert project.run("tick", "--db", "new.db", "--file", "cronq.toml").code == 2
    assert not (project.folder / "new.db").exists()


def test_state_that_cannot_be_written_starts_nothing(project: Project) -> None:
    project.jobs(HOURLY)
    project.tick("2026-05-01T10:30Z", *STATE)
    (project.folder / "cursor").rename(project.folder / "kept")
    (project.folder / "cursor").mkdir()
    done = project.run("tick", *STATE, "--now", "2026-05-01T12:30Z")
    assert done.code == 5
    assert project.witnessed == []


def damaged(text: str) -> dict[str, str]:
    body, seal = text.rsplit("sha256 ", 1)
    return {
        "cut": text[:-40],
        "edited": text.replace("11:00", "12:00", 1),
        "newer": text.replace("cronq-state 1", "cronq-state 2"),
        "foreign": "hello\n",
        "empty": "",
        "unsealed": body,
        "seal": f"{body}sha256 {'0' * 64}\n",
        "conflict": f"<<<<<<< ours\n{text}",
        "binary": "\udcff" + seal,
    }


@pytest.mark.parametrize("how", sorted(damaged("11:00 sha256 ")))
def test_damaged_state_is_exit_5_and_changes_nothing(project: Project, how: str) -> None:
    project.jobs(HOURLY)
    project.tick("2026-05-01T10:30Z", *STATE)
    data = damaged(text_of(project))[how].encode("utf-8", "surrogateescape")
    (project.folder / "cursor").write_bytes(data)
    ledger = (project.folder / "cursor.db").read_bytes()
    done = project.tick("2026-05-01T11:30Z", *STATE, code=5)
    assert "cursor" in done.err
    assert (project.folder / "cursor").read_bytes() == data
    assert (project.folder / "cursor.db").read_bytes() == ledger
    assert project.witnessed == []


def test_state_needs_a_file_of_jobs(project: Project) -> None:
    done = project.run("tick", "--state", "cursor")
    assert done.code == 2
    assert "--file" in done.err


def started(project: Project, now: str, *options: str) -> int:
    """Start a tick, wait for its first process, and kill it; return its pid."""
    process = project.start("tick", "--json", "--now", now, *STATE, *options)
    assert process.stdout is not None
    for line in process.stdout:
        if '"attempt_started"' in line:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    process.stdout.close()
    assert process.stderr is not None
    process.stderr.close()
    return process.pid


@pytest.mark.parametrize("on_crash", ["retry", "rerun"])
def test_tick_killed_while_running_leaves_the_rest_to_the_crash_rule(project: Project, on_crash: str) -> None:
    project.jobs(SLOW + f'on-crash = "{on_crash}"\n')
    project.tick("2026-05-01T10:30Z", *STATE)
    started(project, "2026-05-01T11:30Z")
    assert "slow open 2026-05-01T11:00:00Z attempt=1" in text_of(project)
    assert "state=running" in text_of(project)
    forget_ledger(project)
    (project.folder / "go").touch()
    try:
        # Another runner: what ran there is dead, and nothing is known of its end.
        code = 1 if on_crash == "retry" else 0
        summary = project.tick("2026-05-01T11:31Z", *STATE, code=code).summary()
        if on_crash == "retry":
            assert summary["outcomes"]["abandoned"] == 1
        else:
            assert summary["waiting"] + summary["outcomes"]["success"] == 1
        assert project.run("audit", *DB).code == 0
    finally:
        for pid in stray(project):
            os.kill(pid, signal.SIGKILL)


def test_what_outlives_a_killed_tick_is_adopted_on_the_same_runner(project: Project) -> None:
    project.jobs(SLOW.replace("test -e go || sleep 600", "until test -e go; do sleep 0.05; done"))
    project.tick("2026-05-01T10:30Z", *STATE)
    started(project, "2026-05-01T11:30Z")
    process = project.start("tick", "--json", "--now", "2026-05-01T11:31Z", *STATE)
    assert process.stdout is not None
    for line in process.stdout:
        if '"run_adopted"' in line:
            break
    (project.folder / "go").touch()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert (project.folder / "seen").read_text() == "2026-05-01T11:00:00Z\n"
    assert "outcome=success" in text_of(project)
    assert project.run("audit", *DB).code == 0


def stray(project: Project) -> list[int]:
    """Return what still runs in the project's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if (entry / "cwd").readlink() == project.folder and int(entry.name) != os.getpid():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


KILLER = """\
import os, signal, sys
from cronq.store.sqlite_tick import TickStore
from cronq.keeping import Draft
from cronq.worker.pool import Pool
step, when, count = (*sys.argv[1:3], int(sys.argv[3])) if __name__ == "__main__" else ("put", "", 0)
owner, name = {"put": (Draft, "put"), "assign": (Pool, "assign"), "claim": (TickStore, "claim"),
    "record": (TickStore, "record"), "launch": (TickStore, "launch")}[step]
real = getattr(owner, name)
def mortal(*args, **kwargs):
    global count
    count -= 1
    if when == "before" and count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    result = real(*args, **kwargs)
    if when == "after" and count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
if __name__ == "__main__":
    setattr(owner, name, mortal)
    sys.argv = ["cronq", *sys.argv[4:]]
    from cronq.__main__ import main
    sys.exit(main())
"""


@pytest.mark.parametrize("keeps_ledger", [True, False], ids=["same runner", "other runner"])
@pytest.mark.parametrize(
    ("step", "when", "count", "ran"),
    [
        ("launch", "before", 1, 1),
        ("launch", "after", 1, 1),
        ("claim", "after", 1, 1),
        ("put", "before", 1, 1),  # of the launch: nothing was claimed
        ("put", "after", 1, 1),
        ("put", "before", 2, None),  # of the claims: the ledger is ahead of the text
        ("put", "after", 2, 0),  # the text tells of claims; nothing was started
        ("assign", "before", 1, 0),
        ("record", "before", 1, None),
    ],
)
def test_tick_killed_at_any_step_never_runs_a_fire_time_twice(
    project: Project, step: str, when: str, count: int, ran: int | None, keeps_ledger: bool
) -> None:
    project.jobs(HOURLY)
    project.tick("2026-05-01T10:30Z", *STATE)
    (project.folder / "killer.py").write_text(KILLER)
    command = [sys.executable, "killer.py", step, when, str(count), "tick", "--json", *STATE]
    done = subprocess.run(
        [*command, "--now", "2026-05-01T11:30Z"],
        cwd=project.folder,
        env=project.environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL
    if not keeps_ledger:
        forget_ledger(project)
    project.run("tick", *STATE, "--now", "2026-05-01T11:40Z")
    assert project.run("audit", *DB).code == 0
    assert len(project.witnessed) <= 1
    # On the same runner it is known that nothing was started of a claim, so it is no crash.
    if ran is not None and not (keeps_ledger and ran == 0):
        assert len(project.witnessed) == ran, project.witnessed
    assert " open " not in text_of(project)
    assert not list(project.folder.glob(".cursor*"))
    project.tick("2026-05-01T12:01Z", *STATE)
    assert project.witnessed[-1] == "hourly 2026-05-01T12:00:00Z"


def test_changed_schedule_still_runs_what_the_cursor_promised(project: Project) -> None:
    project.jobs(HOURLY)
    project.tick("2026-05-01T10:30Z", *STATE)
    forget_ledger(project)
    project.jobs(HOURLY.replace("0 * * * *", "15 * * * *"))
    project.tick("2026-05-01T12:30Z", *STATE)
    assert project.witnessed == ["hourly 2026-05-01T11:00:00Z", "hourly 2026-05-01T12:00:00Z"]
    project.tick("2026-05-01T13:30Z", *STATE)
    assert project.witnessed[2:] == ["hourly 2026-05-01T13:15:00Z"]
    assert project.run("audit", *DB).code == 0


@pytest.mark.parametrize("keeps_ledger", [True, False], ids=["same runner", "other runner"])
def test_what_is_due_runs_as_the_file_says_now(project: Project, keeps_ledger: bool) -> None:
    project.jobs('[jobs.fixed]\ntz = "UTC"\nschedule = "0 * * * *"\nshell = "echo wrong >> seen"\n')
    project.tick("2026-05-01T10:30Z", *STATE)
    project.jobs('[jobs.fixed]\ntz = "UTC"\nschedule = "0 * * * *"\nshell = "echo right >> seen"\n')
    if not keeps_ledger:
        forget_ledger(project)
    project.tick("2026-05-01T11:30Z", *STATE)
    assert (project.folder / "seen").read_text() == "right\n"
    assert project.run("audit", *DB).code == 0


def test_retry_goes_on_where_another_runner_left_it(project: Project) -> None:
    project.jobs(
        '[jobs.flaky]\ntz = "UTC"\nschedule = "0 * * * *"\nretries = 2\nretry-delay = "30m"\n'
        'shell = "echo $CRONQ_ATTEMPT $CRONQ_FIRE_TIME >> seen; test $CRONQ_ATTEMPT = 3"\n'
    )
    project.tick("2026-05-01T10:30Z", *STATE)
    for now in ("11:05", "11:40", "12:55"):
        forget_ledger(project)
        project.tick(f"2026-05-01T{now}Z", *STATE)
    seen = [line for line in (project.folder / "seen").read_text().splitlines() if "T11:00" in line]
    assert seen == [f"{number} 2026-05-01T11:00:00Z" for number in (1, 2, 3)]
    assert project.run("audit", *DB).code == 0


def test_last_success_and_removed_jobs_are_carried_over(project: Project) -> None:
    project.jobs(
        '[jobs.told]\ntz = "UTC"\nschedule = "0 * * * *"\nshell = "echo was $CRONQ_LAST_SUCCESS >> seen"\n'
        '[jobs.gone]\ntz = "UTC"\nschedule = "0 * * * *"\nshell = "true"\n'
    )
    project.tick("2026-05-01T10:30Z", *STATE)
    project.tick("2026-05-01T11:05Z", *STATE)
    forget_ledger(project)
    project.jobs(
        '[jobs.told]\ntz = "UTC"\nschedule = "0 * * * *"\nshell = "echo was $CRONQ_LAST_SUCCESS >> seen"\n'
    )
    project.tick("2026-05-01T12:05Z", *STATE)
    assert (project.folder / "seen").read_text().splitlines() == ["was", "was 2026-05-01T11:00:00Z"]
    assert "gone" not in text_of(project)


def test_two_runners_with_the_same_state_are_found_out_by_merge(project: Project) -> None:
    project.jobs(HOURLY)
    project.tick("2026-05-01T10:30Z", *STATE)
    base = text_of(project)
    project.tick("2026-05-01T11:05Z", *STATE)
    (project.folder / "one").write_text(text_of(project))
    forget_ledger(project)
    (project.folder / "cursor").write_text(base)
    project.tick("2026-05-01T11:06Z", *STATE)
    merged = project.run("state", "merge", "one", "cursor", "-o", "both")
    assert merged.code == 1
    assert "hourly 2026-05-01T11:00:00Z: claimed by both of them: it may have run twice" in merged.err
    (project.folder / "cursor").write_text((project.folder / "both").read_text())
    forget_ledger(project)
    assert project.tick("2026-05-01T11:10Z", *STATE).summary()["fire_times"] == 0
    (project.folder / "base").write_text(base)
    assert project.run("state", "merge", "base", "one").code == 0
    assert project.run("state", "merge", "base", "one").out == (project.folder / "one").read_text()


def test_state_goes_out_of_a_database_and_into_another(project: Project) -> None:
    project.jobs(HOURLY)
    db = ("--db", "cronq.db")
    project.tick("2026-05-01T10:30Z", *db, *STATE[2:])
    project.tick("2026-05-01T11:30Z", *db, *STATE[2:])
    assert project.run("state", "export", "out", *db).code == 0
    assert project.run("state", "export", *db).out == (project.folder / "out").read_text()
    assert json.loads(project.run("state", "--json", *db).out)["jobs"][0]["name"] == "hourly"
    assert project.run("state", "import", "out", "--db", "new.db", "--file", "cronq.toml").code == 0
    project.tick("2026-05-01T12:30Z", "--db", "new.db", *STATE[2:])
    assert project.witnessed[1:] == ["hourly 2026-05-01T12:00:00Z"]
    assert project.run("audit", "--db", "new.db").code == 0
    # The first one, which has its jobs, goes on where the new one is.
    project.run("state", "export", "later", "--db", "new.db")
    moved = project.run("state", "import", "later", *db, "--json")
    assert json.loads(moved.out)["moved"] == ["hourly"]
    assert project.tick("2026-05-01T12:40Z", *db, *STATE[2:]).summary()["fire_times"] == 0
    assert project.run("audit", *db).code == 0
    assert json.loads(project.run("state", "import", "out", *db, "--json").out)["moved"] == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("exprot",), 2),
        (("merge", "one"), 2),
        (("import",), 2),
        (("export", "a", "b"), 2),
        (("import", "nothing"), 2),
        (("export", "-o", "x"), 2),
    ],
)
def test_wrong_requests_about_states(project: Project, arguments: tuple[str, ...], code: int) -> None:
    done = project.run("state", *arguments, "--db", "none.db")
    assert done.code == code
    assert not (project.folder / "none.db").exists()
