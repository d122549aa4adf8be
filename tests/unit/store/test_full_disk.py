"""A disk that is full: told in words, nothing half done, and all well again when there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq.errors import StoreFull
from cronq.model import State
from cronq.store import Place, Store, open_store
from tests.unit.store.builders import NOW, add, claim_one, end, fires, start

SIZE_KIB = 512


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("only root can mount a small file system")
    options = f"size={SIZE_KIB}k,mode=0700"
    done = subprocess.run([mount, "-t", "tmpfs", "-o", options, "cronq-test", str(folder)], check=False)
    if done.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room there is."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"\0" * 4096)
            except OSError:
                return filler


@pytest.fixture
def store(small_disk: Path) -> Iterator[Store]:
    place = Place(small_disk / "cronq.db", small_disk / "logs", "test")
    opened = open_store(place, create=True, environ={})
    yield opened
    opened.close()


def fill_the_log(store: Store, folder: Path) -> Path:
    """Fill the disk, and then what is left inside the write-ahead log's last page."""
    filler = fill(folder)
    with pytest.raises(StoreFull):
        write_for_ever(store)
    return filler


def write_for_ever(store: Store) -> None:
    for number in range(100_000):
        store.set_fact("filler", "x" * number)


def is_sound(store: Store) -> bool:
    store.check()
    return True


def test_full_disk_refuses_an_add_and_changes_nothing(store: Store, small_disk: Path) -> None:
    add(store, "before")
    filler = fill_the_log(store, small_disk)
    before = store.overviews()
    with pytest.raises(StoreFull, match="disk is full") as caught:
        add(store, "after", cwd="/" + "x" * 9000)
    assert "free some space" in caught.value.hint
    assert store.overviews() == before
    assert is_sound(store)
    filler.unlink()
    add(store, "after", cwd="/" + "x" * 9000)
    assert len(store.overviews()) == 2


def test_full_disk_refuses_a_launch_as_a_whole(store: Store, small_disk: Path) -> None:
    job = add(store)
    fill_the_log(store, small_disk)
    launch = fires(job, *range(NOW, NOW + 2000))
    with pytest.raises(StoreFull):
        store.launch([launch], now=NOW)
    assert store.job("job") == job
    assert store.totals().queued == 0
    assert is_sound(store)


def test_full_disk_refuses_an_end_that_can_be_recorded_later(store: Store, small_disk: Path) -> None:
    add(store)
    store.trigger(["job"], now=NOW)
    claim = claim_one(store)
    filler = fill_the_log(store, small_disk)
    ended = end(claim, reason="x" * 9000)
    with pytest.raises(StoreFull):
        store.record([start(claim)], [ended])
    assert store.run(claim.run.id).run == claim.run
    filler.unlink()
    (run,) = store.record([start(claim)], [ended])
    assert run.state is State.DONE


def test_full_disk_can_still_be_read_by_others(store: Store, small_disk: Path) -> None:
    add(store)
    fill_the_log(store, small_disk)
    place = Place(small_disk / "cronq.db", small_disk / "logs", "test")
    other = open_store(place, read_only=True, environ={})
    assert other.job("job") == store.job("job")
    other.close()


def test_full_disk_gets_no_half_database(small_disk: Path) -> None:
    fill(small_disk)
    place = Place(small_disk / "cronq.db", small_disk / "logs", "test")
    with pytest.raises(StoreFull):
        open_store(place, create=True, environ={})
    assert [path.name for path in small_disk.iterdir()] == ["filler"]
