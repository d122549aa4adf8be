from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.crash.program import Cronq

ROOM = 4 * 1024**3


@pytest.fixture
def cronq(tmp_path: Path) -> Cronq:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return Cronq(home)


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Cronq]:
    """The program in a home in memory, if there is room; for what is not about the disk."""
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > ROOM
    with TemporaryDirectory(dir=memory if has_room else tmp_path) as home:
        yield Cronq(Path(home))
