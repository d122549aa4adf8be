"""Where a run of the suite works: a temporary folder, two small C programs, and how thorough to be."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class Skipped(Exception):
    """A measure or a contestant cannot take part; the text says why."""


class Stamp(NamedTuple):
    """One start, told by the started process itself."""

    at_s: float
    number: int


@dataclass
class Lab:
    """What every measure is given.

    Attributes:
        folder: For everything; removed at the end.
        quick: Smaller and fewer.
        peers: The Python in which the peers are installed; None: they are not there.
        note: Called with a remark that belongs under the table.
    """

    folder: Path
    quick: bool
    peers: Path | None
    note: Callable[[str], None]
    _made: int = field(default=0, repr=False)

    @property
    def rounds(self) -> int:
        """How often each contestant is asked."""
        return 3 if self.quick else 5

    def pick(self, quick: int, full: int) -> int:
        """Return the one or the other size."""
        return quick if self.quick else full

    def new_folder(self, name: str) -> Path:
        """Return a new empty folder."""
        self._made += 1
        path = self.folder / f"{self._made:03d}-{name}"
        path.mkdir(mode=0o700)
        return path

    def program(self, name: str) -> str:
        """Return the path of a C program of this folder, compiled when it is first asked for."""
        path = self.folder / name
        if not path.exists():
            compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
            if compiler is None:
                raise Skipped("there is no C compiler")
            subprocess.run([compiler, "-O2", "-o", str(path), str(HERE / f"{name}.c")], check=True)
        return str(path)


def read_stamps(path: Path) -> list[Stamp]:
    """Return the starts noted in a file, in order of time."""
    data = path.read_bytes() if path.exists() else b""
    return sorted(Stamp(at / 1e9, number) for at, number in struct.iter_unpack("qq", data))


def rate_of(stamps: list[Stamp]) -> float:
    """Return starts per second once all is warm: without the first tenth."""
    skipped = len(stamps) // 10
    steady = stamps[skipped:]
    return (len(steady) - 1) / (steady[-1].at_s - steady[0].at_s)
