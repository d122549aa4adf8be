from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.simulation.world import World, utc


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(start: str = "2026-03-02T00:00:00", **fields: object) -> World:
        place = tmp_path / f"world{len(made)}"
        place.mkdir(mode=0o700)
        made.append(World(place, utc(start), **fields))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.store.close()
