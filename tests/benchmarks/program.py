"""The real `cronq run` on a store of its own, and what the kernel tells of it."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cronq.store import Place
from tests.benchmarks.filling import place_in
from tests.benchmarks.lab import ROOT
from tests.crash.program import descendants, is_worker

BOUND_S = 120.0


@dataclass
class Program:
    """The command line, on the database of a folder."""

    folder: Path

    @property
    def place(self) -> Place:
        return place_in(self.folder)

    def environ(self, **more: str) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.folder),
            "TZ": "UTC",
            "PYTHONPATH": str(ROOT),
            "CRONQ_DB": str(self.place.database),
            **more,
        }

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "cronq", *arguments]

    def __call__(self, *arguments: str) -> str:
        """Run a command to its end."""
        done = subprocess.run(
            self.argv(*arguments), env=self.environ(), capture_output=True, text=True, check=True
        )
        return done.stdout

    @contextmanager
    def run(self, *options: str, watchdog_s: float | None = None, ready: bool = True) -> Iterator[Running]:
        """Start `cronq run` with its events in a file, as a service has them; end it after the block.

        Args:
            options: Of `cronq run`.
            watchdog_s: How often it is to give a sign of life.
            ready: Wait until it says that it is; it then also renews a status line now and then.
        """
        running = Running(self, options, watchdog_s, ready)
        try:
            yield running
        finally:
            running.destroy()


class Running:
    """One `cronq run`.

    Attributes:
        ready_s: How long it took from its start until it was ready.
    """

    def __init__(
        self, program: Program, options: tuple[str, ...], watchdog_s: float | None, ready: bool
    ) -> None:
        more = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = program.folder / "notify"
        path.unlink(missing_ok=True)
        self._socket.bind(str(path))
        if ready:
            more["NOTIFY_SOCKET"] = str(path)
        if watchdog_s is not None:
            more["WATCHDOG_USEC"] = str(round(watchdog_s * 2e6))
        with (program.folder / "events.log").open("wb") as log:
            began = time.monotonic()
            self.process = subprocess.Popen(
                program.argv("run", *options),
                env=program.environ(**more),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if ready:
            while b"READY=1" not in self.sign(BOUND_S):
                pass
        self.ready_s = time.monotonic() - began

    @property
    def pid(self) -> int:
        return self.process.pid

    def sign(self, bound_s: float) -> bytes:
        """Return the next sign of life."""
        if not select.select([self._socket], [], [], bound_s)[0]:
            raise TimeoutError(f"no sign of life for {bound_s} s")
        return self._socket.recv(4096)

    def workers(self) -> list[int]:
        return [pid for pid in self.helpers() if is_worker(pid)]

    def helpers(self) -> list[int]:
        """Return the processes that belong to it: fork server, workers, commands."""
        return descendants(self.pid)

    def wait(self) -> None:
        """Wait for its own end, as with `--until-idle`."""
        self.process.wait(BOUND_S)

    def destroy(self) -> None:
        """End it, and all it started."""
        # By descriptor: short-lived commands are among them, and their pids are soon somebody else's.
        below = [fd for pid in descendants(self.pid) if (fd := _pidfd(pid)) is not None]
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        for fd in below:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            os.close(fd)
        self._socket.close()


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def wait_for(path: Path, size: int) -> None:
    """Wait until a file has grown to a size; looks seldom, not to disturb what is measured."""
    deadline = time.monotonic() + BOUND_S
    while not path.exists() or path.stat().st_size < size:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path.name} does not grow to {size} bytes")
        time.sleep(0.02)


def switches(pid: int) -> int:
    """Return how often a process was given the processor: about, how often it woke up."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if "ctxt_switches" in line:
                total += int(line.split()[1])
    return total


def processor_s(pid: int) -> float:
    """Return the processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> tuple[int, int]:
    """Return bytes resident, and bytes that are its own alone."""
    resident = private = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        key, value = line.split()[:2]
        if key == "Rss:":
            resident = int(value) * 1024
        elif key.startswith("Private_"):
            private += int(value) * 1024
    return resident, private


def wait_until(condition: Callable[[], object], bound_s: float) -> None:
    """Wait for something; looks seldom."""
    deadline = time.monotonic() + bound_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it never came")
        time.sleep(0.05)
