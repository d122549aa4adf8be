"""A year of many jobs in which everything happens that may, and somebody dies at every kind of step."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.simulation.test_crashes import fresh_seed
from tests.simulation.world import utc
from tests.simulation.year import KINDS, Year


def live_a_year(folder: Path, jobs: int, days: int) -> float:
    """Return the processor time that it took."""
    seed = fresh_seed()
    print(f"CRONQ_SEED={seed}")
    folder.chmod(0o700)
    began = time.process_time()
    year = Year(folder, utc("2026-01-01T00:00:00"), jobs=jobs, dice=random.Random(seed))
    year.live(days)
    accounted = year.witness.account()
    year.check()
    took_s = time.process_time() - began
    print(
        f"{jobs} jobs, {days} days: {took_s:.1f} s, {accounted} fire times, {year.witness.newest_run} runs,"
        f" {len(year.workers.starts)} attempts, {year.passed.total()} steps, {year.crashed.total()} deaths;"
        f" {dict(year.happened)}"
    )
    assert KINDS - year.crashed.keys() == set()
    assert {kind for kind, deaths in year.crashed.items() if not deaths} == set()
    assert accounted > jobs * days // 3
    year.store.check(thoroughly=True)
    year.store.close()
    return took_s


def test_a_quarter_of_sixty_jobs(tmp_path: Path) -> None:
    live_a_year(tmp_path, jobs=60, days=90)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_year_of_two_hundred_jobs_takes_less_than_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Half a million looks at a store in which nothing is to be done would be half of the time.
    monkeypatch.setattr("cronq.scheduler.LOOK_ANYWAY_S", 3600.0)
    assert live_a_year(tmp_path, jobs=200, days=365) < 60
