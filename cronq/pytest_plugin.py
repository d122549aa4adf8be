"""The pytest plugin: a fixture `cronq` that lets a file of jobs live on a virtual clock.

It is imported at each start of pytest in an environment that has cronq, so it imports nothing of cronq before
the fixture is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from cronq.testing import World


class Worlds:
    """Makes worlds; the fixture `cronq` is one of these."""

    def __init__(self, beside: Path, root: Path, folders: pytest.TempPathFactory) -> None:
        """Look for files beside a test, and above it up to the root of the tests."""
        self._beside = beside
        self._root = root
        self._folders = folders
        self._made: list[World] = []

    def __call__(
        self,
        file: str | os.PathLike[str] = "cronq.toml",
        *,
        at: str | datetime,
        tz: str | None = None,
        workers: int = 32,
    ) -> World:
        """Return a world with the jobs of a file; nothing is ever executed in it.

        Args:
            file: A path, looked for beside the test and in the folders above it up to pytest's root; or the
                text of such a file, which has more than one line.
            at: When it begins: `2026-03-29T00:00 Europe/Berlin`, or an aware datetime.
            tz: The zone of its machine; by default that of `at`, else UTC.
            workers: Runs at a time.

        Raises:
            CannotPlay: What is wrong, as the command line would say it.
        """
        __tracebackhide__ = True
        from cronq.testing import World

        folder = self._folders.mktemp("cronq")
        world = World(self._found(file), at=at, folder=folder, tz=tz, workers=workers)
        self._made.append(world)
        return world

    def close(self) -> None:
        """End all of them."""
        for world in self._made:
            world.close()

    def _found(self, file: str | os.PathLike[str]) -> str | os.PathLike[str]:
        from pathlib import Path

        if (isinstance(file, str) and "\n" in file) or Path(file).is_absolute():
            return file
        for folder in (self._beside, *self._beside.parents):
            if (folder / file).is_file():
                return folder / file
            if folder == self._root:
                break
        return self._root / file


@pytest.fixture
def cronq(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    """Make worlds in which the jobs of a `cronq.toml` live on a virtual clock, and no command is executed."""
    worlds = Worlds(request.path.parent, request.config.rootpath, tmp_path_factory)
    yield worlds
    worlds.close()
