"""A ledger in a server, and two hosts, which have a folder and a name of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shipping.hosts import HOSTNAME, Host


@pytest.fixture(scope="session")
def names() -> None:
    """Skip where hosts cannot have names."""
    done = subprocess.run([*HOSTNAME, "probe", "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no host can be named: {done.stderr.strip()}")


@pytest.fixture
def alpha(names: None, database_url: str, tmp_path: Path) -> Iterator[Host]:
    """Where the node runs."""
    with Host("alpha", database_url, tmp_path).living() as host:
        yield host


@pytest.fixture
def beta(names: None, database_url: str, tmp_path: Path) -> Host:
    """Where people look."""
    return Host("beta", database_url, tmp_path)
