"""Fixtures of the command line's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.world import World


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes transcripts anew instead of comparing them."""
    parser.addoption("--update-snapshots", action="store_true", help="write expected transcripts anew")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty machine."""
    tmp_path.chmod(0o700)
    return World(tmp_path)
