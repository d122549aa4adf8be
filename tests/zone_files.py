"""Zone data of the tests' own, with one made-up zone, which can be replaced as a package manager does it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import tzdata  # type: ignore[import-untyped]

ZONE = "Test/Z"
_PACKAGE = Path(tzdata.__file__).parent / "zoneinfo"


@dataclass
class ZoneFiles:
    """A folder for TZPATH; its versions are newer than any real one."""

    folder: Path

    def put(self, version: str, hours_east: int) -> None:
        """Put data in place in which `ZONE` is so far ahead of UTC."""
        new = self.folder.with_name(f"{self.folder.name}-{version}-{hours_east}")
        (new / "Test").mkdir(parents=True)
        (new / "+VERSION").write_text(f"{version}\n")
        shutil.copy(_PACKAGE / "UTC", new / "UTC")
        # POSIX counts to the west.
        shutil.copy(_PACKAGE / "Etc" / f"GMT{-hours_east:+d}".replace("+0", "0"), new / ZONE)
        if self.folder.exists():
            self.folder.rename(new.with_name(f"{new.name}-before"))
        new.rename(self.folder)
