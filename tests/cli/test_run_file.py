"""`cronq run --file`: the jobs of the file, and of no file before it, or nothing at all."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.test_real_runs import ROOT, cronq, scheduler
from tests.cli.world import World

__all__ = ["scheduler"]

TWO = """\
[jobs.boot]
schedule = "@reboot"
command = ["echo", "booted"]

[jobs.yearly]
schedule = "@yearly"
command = ["true"]
"""


def write(world: World, text: str) -> None:
    (world.root / "work" / "cronq.toml").write_text(text, encoding="utf-8")


def run(world: World, *options: str) -> subprocess.CompletedProcess[str]:
    return cronq(world, "run", "--file", "cronq.toml", "--until-idle", *options)


def names(world: World) -> list[str]:
    return sorted(job["name"] for job in json.loads(cronq(world, "list", "--json").stdout)["jobs"])


def test_file_is_applied_and_told_and_then_the_scheduler_runs(world: World) -> None:
    write(world, TWO)
    done = run(world)
    assert done.returncode == 0, done.stderr
    assert "+ boot  @reboot  (" in done.stderr
    assert done.stderr.splitlines()[-1] == "cronq.toml: 2 added, 0 changed, 0 removed, 0 unchanged"
    events = [line.split()[1] for line in done.stdout.splitlines()]
    assert events[0] == "scheduler_started"
    assert "attempt_finished job=boot run_id=1 attempt=1 outcome=success" in done.stdout
    assert names(world) == ["boot", "yearly"]


def test_job_that_vanished_from_the_file_is_removed_and_one_by_hand_stays(world: World) -> None:
    write(world, TWO)
    assert cronq(world, "add", "mine", "@yearly", "--", "true").returncode == 0
    assert run(world).returncode == 0
    write(world, TWO[: TWO.index("[jobs.yearly]")])
    done = run(world, "--json")
    first = json.loads(done.stdout.splitlines()[0])
    assert (first["event"], first["removed"], first["kept"]) == ("file_applied", ["yearly"], 1)
    assert json.loads(done.stdout.splitlines()[1])["event"] == "scheduler_started"
    assert names(world) == ["boot", "mine"]
    assert '"run_id": 1' in cronq(world, "runs", "boot", "--json").stdout.replace('"id"', '"run_id"')


@pytest.mark.parametrize(
    "text", ["[jobs.a]\nschedule = '61 * * * *'\ncommand = ['true']\n", "[jobs", "[jobs.a]\n"]
)
def test_invalid_file_starts_nothing_and_changes_nothing(world: World, text: str) -> None:
    write(world, text)
    done = run(world)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: cronq.toml:")
    assert not list((world.root / "home").rglob("cronq.db"))


def test_file_that_is_not_there_is_told(world: World) -> None:
    done = run(world)
    assert done.returncode == 2
    assert "there is no file" in done.stderr


def test_forecast_is_not_of_a_file(world: World) -> None:
    write(world, TWO)
    done = run(world, "--dry-run")
    assert done.returncode == 2
    assert "cronq apply cronq.toml --plan --prune" in done.stderr


def test_nothing_is_applied_where_another_scheduler_runs(scheduler: World) -> None:
    write(scheduler, TWO)
    done = subprocess.run(
        [sys.executable, "-m", "cronq", "run", "--file", "cronq.toml"],
        cwd=scheduler.root / "work",
        env={**scheduler.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 4
    assert "a scheduler already runs" in done.stderr
    assert names(scheduler) == []
