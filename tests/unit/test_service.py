"""The upkeep that a scheduler does between runs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from cronq import service
from cronq.scheduler import Scheduler
from cronq.store import Place, open_store
from tests.unit.store.builders import add


def test_long_write_ahead_log_is_moved_into_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others write to it and may not move it: without this it grows while a scheduler has nothing to do."""
    place = Place(tmp_path / "cronq.db", tmp_path / "logs", "test")
    store = open_store(place, create=True, for_scheduler=True)
    scheduler = cast("Scheduler", SimpleNamespace(store=store))
    other = open_store(place)
    for number in range(5):
        add(other, f"job{number}")

    def jobs_without_the_log() -> int:
        with closing(sqlite3.connect(f"file:{place.database}?immutable=1", uri=True)) as alone:
            (count,) = alone.execute("SELECT count(*) FROM job").fetchone()
        return int(count)

    service._move_log(place, scheduler)
    assert jobs_without_the_log() == 0, "a short log is left alone"
    monkeypatch.setattr(service, "LOG_SIZE_LIMIT", 10_000)
    service._move_log(place, scheduler)
    assert jobs_without_the_log() == 5
    other.close()
    store.close()
