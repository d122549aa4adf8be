from __future__ import annotations

from pathlib import Path

import pytest

from tests.tick.world import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    folder.mkdir(mode=0o700)
    return Project(folder)
