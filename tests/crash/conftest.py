from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.program import Cronq


@pytest.fixture
def cronq(tmp_path: Path) -> Cronq:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return Cronq(home)
