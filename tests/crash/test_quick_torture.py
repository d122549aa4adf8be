"""Kills while quick jobs follow each other, and busy workers hold the next claims ready."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import pytest

from cronq.model import Command, CommandKind
from tests.crash.program import Cronq, Running, wait_until
from tests.crash.stock import argv, overdue, stock_store
from tests.crash.test_torture import dice_seed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a sub-reaper and /proc")

MODULE = """import os
def note():
    run, attempt = os.environ["CRONQ_RUN_ID"], os.environ["CRONQ_ATTEMPT"]
    with open("witness", "a") as file:
        file.write(f"{run}.{attempt}\\n")
"""
SCRIPT = '#!/bin/sh\necho "$CRONQ_RUN_ID.$CRONQ_ATTEMPT" >>witness\n'


@pytest.fixture
def cronq(tmp_path: Path) -> Cronq:
    (tmp_path / "noting.py").write_text(MODULE)
    (tmp_path / "note").write_text(SCRIPT)
    (tmp_path / "note").chmod(0o755)
    return Cronq(tmp_path)


def command_of(kind: str) -> Command:
    return argv("./note") if kind == "command" else Command(CommandKind.PYTHON, ("noting:note",))


def kill_some(running: Running, rng: random.Random) -> list[str]:
    """Kill what dice say; with `both`, the scheduler is stopped first, so that it cannot adopt."""
    victims = rng.choice(["scheduler", "worker", "worker", "workers", "both"])
    workers = running.workers()
    if victims == "both":
        running.signal(signal.SIGSTOP)
    if victims in {"worker", "workers", "both"}:
        for pid in rng.sample(workers, min(1, len(workers))) if victims == "worker" else workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    if victims in {"scheduler", "both"}:
        running.kill()
    return [victims]


def torture(cronq: Cronq, kind: str, runs: int, rng: random.Random) -> Counter[str]:
    """Let so many runs be executed under kills, to the last."""
    kills: Counter[str] = Counter()
    store = stock_store(cronq)
    overdue(store, "quick", command_of(kind), cwd=cronq.home, every_s=1, count=runs)
    store.close()
    while _left(cronq, runs):
        running = cronq.start("--workers", "2", "--until-idle", "--log-format", "json")
        try:
            running.wait_for("scheduler_started")
            for _ in range(rng.randint(1, 4)):
                time.sleep(rng.uniform(0.02, 0.25))  # not waiting for anything: where it is, is the dice
                running.pass_over()
                if running.process.poll() is not None:
                    break
                kills["while an end was not acknowledged"] += _has_unacknowledged(cronq)
                kills.update(kill_some(running, rng))
            if running.process.poll() is None:
                running.signal(signal.SIGTERM)
                running.ended()
        finally:
            running.close()
    # The last one may have been killed: then its successor removes what was left.
    cronq("run", "--until-idle")
    return kills


def _has_unacknowledged(cronq: Cronq) -> bool:
    """Return whether a worker has begun with what it held before the last end was in the ledger."""
    for path in Path(f"{cronq.database}.attempts").glob("*.attempt"):
        with suppress(OSError, ValueError):
            if json.loads(path.read_text())["before"]:
                return True
    return False


def _left(cronq: Cronq, runs: int) -> int:
    with closing(sqlite3.connect(cronq.database)) as db:
        (done,) = db.execute("SELECT count(*) FROM run WHERE state = 'done'").fetchone()
    return runs - int(done)


def check(cronq: Cronq, runs: int) -> Counter[str]:
    """Compare what the commands wrote themselves with the ledger."""
    wait_until(lambda: not list(Path(f"{cronq.database}.attempts").glob("*.worker")), "the last worker")
    seen = Counter((cronq.home / "witness").read_text().split())
    assert not [key for key, count in seen.items() if count > 1], "an attempt was started twice"
    starts = Counter(key.partition(".")[0] for key in seen)
    with closing(sqlite3.connect(cronq.database)) as db:
        rows = db.execute("SELECT id, outcome, attempt FROM run ORDER BY id").fetchall()
        ends = db.execute("SELECT count(*) FROM attempt WHERE outcome IS NULL").fetchone()
    assert len(rows) == runs
    assert ends == (0,)
    outcomes: Counter[str] = Counter()
    for run_id, outcome, _ in rows:
        outcomes[outcome] += 1
        # No retries: whatever dies, nothing is begun with a second time.
        assert starts[str(run_id)] <= 1, f"run {run_id} ({outcome}) was started {starts[str(run_id)]} times"
        if outcome == "success":
            assert starts[str(run_id)] == 1, f"run {run_id} succeeded, and never ran"
    assert set(outcomes) <= {"success", "abandoned", "failure"}
    cronq("audit")
    return outcomes


@pytest.mark.parametrize("kind", ["command", "callable"])
def test_kills_while_claims_are_held_lose_and_double_nothing(cronq: Cronq, kind: str) -> None:
    rng = random.Random(dice_seed())
    kills = torture(cronq, kind, 1500, rng)
    outcomes = check(cronq, 1500)
    print(dict(kills), dict(outcomes))
    assert outcomes["success"] > 1000


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["command", "callable"])
def test_kills_while_claims_are_held_lose_and_double_nothing_at_length(cronq: Cronq, kind: str) -> None:
    rng = random.Random(dice_seed())
    kills = torture(cronq, kind, 60_000, rng)
    print(dict(kills), dict(check(cronq, 60_000)))
