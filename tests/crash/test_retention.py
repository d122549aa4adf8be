"""Retention in the real program: beside a running scheduler, by the scheduler itself, and killed half-way."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from tests.crash.program import Cronq, wait_until


def logs(cronq: Cronq) -> list[int]:
    """Return the numbers of the runs that have a log."""
    folder = cronq.database.with_name("cronq.db.logs")
    return sorted(int(path.name.split(".")[0]) for path in folder.glob("*/*.log"))


def log_of(cronq: Cronq, run_id: int) -> Path:
    return cronq.database.with_name("cronq.db.logs") / "000000" / f"{run_id}.1.log"


def assert_no_gap(cronq: Cronq, job: str) -> None:
    """What is left of a job of every second are its newest fire times, each once."""
    moments = [datetime.fromisoformat(run["fire_at"]) for run in cronq.rows(job)]
    assert moments == [moments[0] + timedelta(seconds=n) for n in range(len(moments))]


def test_prune_beside_a_running_scheduler(quick: Cronq) -> None:
    quick("add", "tick", "every 1s", "--overlap", "queue", "--", "echo", "hi")
    with quick.run() as running:
        for _ in range(4):
            running.wait_for("attempt_finished", job="tick")
        found = json.loads(quick("prune", "tick", "--keep", "1", "--yes", "--json"))
        running.wait_for("attempt_finished", job="tick")
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
    assert found["runs"] >= 3
    assert found["bytes"] > 0
    rows = quick.rows("tick")
    assert rows[0]["id"] == found["runs"] + 1
    assert {run["outcome"] for run in rows} == {"success"}
    assert logs(quick) == [run["id"] for run in rows]
    assert_no_gap(quick, "tick")
    quick("audit")  # what is left is proved


def test_scheduler_prunes_by_itself(quick: Cronq) -> None:
    quick("add", "tick", "every 1s", "--overlap", "queue", "--keep", "2", "--", "echo", "hi")
    with quick.run() as running:
        said = running.wait_for("notice", level="info")
        running.wait_for("attempt_finished", job="tick")
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
    assert said["message"].startswith("retention: removed ")
    rows = quick.rows("tick")
    assert rows[0]["id"] > 1
    assert logs(quick) == [run["id"] for run in rows]
    assert_no_gap(quick, "tick")


def test_prune_killed_between_log_and_row_is_finished_by_the_next(quick: Cronq) -> None:
    quick("add", "job", "@yearly", "--keep", "1", "--", "echo", "hi")
    for _ in range(3):
        quick("trigger", "job")
    with quick.run("--until-idle") as running:
        assert running.ended() == 0
    assert logs(quick) == [1, 2, 3]
    with closing(sqlite3.connect(quick.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # the rows cannot go
        pruning = subprocess.Popen(quick.argv("prune"), env=quick.environ(), stdout=subprocess.DEVNULL)
        wait_until(lambda: not log_of(quick, 2).exists(), "the logs are removed")
        pruning.kill()
        pruning.wait()
        other.execute("ROLLBACK")
    assert [run["id"] for run in quick.rows("job")] == [1, 2, 3]
    assert "the output is gone" in quick("logs", "1", code=5)
    assert quick("prune") == "removed 2 runs of job\n"
    assert [run["id"] for run in quick.rows("job")] == [3]
