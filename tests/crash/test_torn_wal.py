"""A power cut tears the end of the write-ahead log; what is left is a prefix of the history, and sound."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cronq.store import Place, RunQuery, Store, open_store
from tests.unit.store.builders import MINUTE, NOW, add, fires

COMMITS = 40
SNAPSHOTS = 100


def cut(wal: bytearray, at: int, dice: random.Random) -> None:
    del wal[at:]


def zero(wal: bytearray, at: int, dice: random.Random) -> None:
    wal[at:] = bytes(len(wal) - at)


def garble(wal: bytearray, at: int, dice: random.Random) -> None:
    first = wal[at] ^ dice.randrange(1, 256)
    wal[at:] = bytes([first]) + dice.randbytes(len(wal) - at - 1)


def hole(wal: bytearray, at: int, dice: random.Random) -> None:
    """A sector that was not written, though later ones were."""
    wal[at : at + 512] = bytes(byte ^ 0xFF for byte in wal[at : at + 512])


def place_in(folder: Path) -> Place:
    return Place(folder / "cronq.db", folder / "logs", "test")


@pytest.fixture
def history(tmp_path: Path) -> tuple[Path, list[int]]:
    """Return a database whose log was never moved into it, and where in the log each commit ends."""
    live, copy = tmp_path / "live", tmp_path / "copy"
    live.mkdir()
    copy.mkdir()
    store = open_store(place_in(live), create=True, environ={})
    job = add(store)
    wal = live / "cronq.db-wal"
    ends = [wal.stat().st_size]
    for number in range(COMMITS):
        launch = fires(job, NOW + number * MINUTE)
        store.launch([launch], now=NOW)
        job = launch.job._replace(next_fire_at=launch.next_fire_at)
        ends.append(wal.stat().st_size)
    for name in ("cronq.db", "cronq.db-wal"):
        shutil.copy(live / name, copy / name)
    store.close()
    return copy, ends


@pytest.mark.parametrize("tear", [cut, zero, garble, hole], ids=lambda tear: tear.__name__)
def test_row_power_loss_with_a_torn_log_leaves_a_prefix_of_the_history(
    history: tuple[Path, list[int]], tmp_path: Path, tear: Callable[[bytearray, int, random.Random], None]
) -> None:
    seed = int(os.environ.get("CRONQ_SEED") or random.SystemRandom().randrange(2**32))
    print(f"CRONQ_SEED={seed}")
    dice = random.Random(f"{seed}:{tear.__name__}")
    copy, ends = history
    whole = (copy / "cronq.db-wal").read_bytes()
    folder = tmp_path / "torn"
    for _ in range(SNAPSHOTS // 4):
        shutil.copytree(copy, folder)
        at = dice.randrange(ends[0], len(whole))
        wal = bytearray(whole)
        tear(wal, at, dice)
        (folder / "cronq.db-wal").write_bytes(wal)
        survived = _runs(folder)
        kept = sum(end <= at for end in ends[1:])
        assert len(survived) >= kept, "what was committed is gone"
        assert survived == list(range(1, len(survived) + 1)), "not a prefix"
        # Zeros may be what stood there.
        assert len(survived) == kept or tear is zero
        shutil.rmtree(folder)


def _runs(folder: Path) -> list[int]:
    store: Store = open_store(place_in(folder), environ={})
    try:
        store.check()
        found = sorted(run.id for run, _ in store.runs(RunQuery(limit=10 * COMMITS)))
        (overview,) = store.overviews()
        # The watermark belongs to the same transaction as the run.
        assert overview.job.next_fire_at == (
            NOW + len(found) * MINUTE if found else overview.job.next_fire_at
        )
        return found
    finally:
        store.close()
