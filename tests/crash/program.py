"""The real program, watched: its events come as JSON lines through a pipe, and tests wait on them."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEADLINE_S = 60.0

Event = dict[str, Any]


@dataclass
class Cronq:
    """The command line on one database, in a home of its own."""

    home: Path
    database_name: str = "cronq.db"
    always: dict[str, str] = field(default_factory=dict)
    """Variables that every command gets."""
    under: tuple[str, ...] = ()
    """What executes them: a command line that takes another one as its last arguments."""
    python: str = sys.executable

    @property
    def database(self) -> Path:
        return self.home / self.database_name

    def environ(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
        own = {"HOME": str(self.home), "TZ": "UTC", "CRONQ_DB": str(self.database)}
        return {**kept, **own, **self.always, **more}

    def argv(self, *arguments: str) -> list[str]:
        return [*self.under, self.python, "-m", "cronq", *arguments]

    def __call__(self, *arguments: str, code: int = 0, **environ: str) -> str:
        """Run a command to its end; return standard output, after a look at the exit code."""
        done = subprocess.run(
            self.argv(*arguments),
            env=self.environ(**environ),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout if code == 0 else done.stderr

    def rows(self, job: str) -> list[Event]:
        """Return the job's runs, oldest first."""
        found = json.loads(self("runs", job, "--json", "-n", "100000"))["runs"]
        return sorted(found, key=lambda run: run["id"])

    def start(self, *options: str, **environ: str) -> Running:
        """Start `cronq run`; who calls this also destroys it."""
        return Running(self.argv("run", "--log-format", "json", *options), self.environ(**environ))

    @contextmanager
    def run(self, *options: str, **environ: str) -> Iterator[Running]:
        """Start `cronq run`; at the end of the block it, and all it started, is gone."""
        running = self.start(*options, **environ)
        try:
            yield running
        finally:
            running.destroy()


class Running:
    """One `cronq run`."""

    def __init__(self, argv: list[str], environ: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        self.events: list[Event] = []
        self._rest = b""
        self._read = 0

    def wait_for(self, kind: str, **wanted: object) -> Event:
        """Return the next event of a kind, after those returned before, with these values."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            while self._read < len(self.events):
                event = self.events[self._read]
                self._read += 1
                if event["event"] == kind and all(event.get(key) == value for key, value in wanted.items()):
                    return event
            assert self._more(deadline), f"no {kind} {wanted} in {self.events[-5:]}\n{self.errors()}"

    def pass_over(self) -> None:
        """Take what has come as read."""
        while self._more(0.0):
            pass
        self._read = len(self.events)

    def wait_for_any(self, *kinds: str) -> Event:
        """Return the next event of these kinds, after those returned before or passed over."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            while self._read < len(self.events):
                event = self.events[self._read]
                self._read += 1
                if event["event"] in kinds:
                    return event
            assert self._more(deadline), f"no {kinds} after {self.events[-5:]}\n{self.errors()}"

    def hears(self, kind: str) -> bool:
        """Wait for an event of a kind; return False if it ends without."""
        while not any(event["event"] == kind for event in self.events[self._read :]):
            if not self._more(time.monotonic() + DEADLINE_S):
                return False
        return True

    def has_news(self) -> bool:
        """Wait for its first event; return False if it ended without any."""
        return bool(self.events) or self._more(time.monotonic() + DEADLINE_S)

    def _more(self, deadline: float) -> bool:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return False
        chunk = os.read(self.process.stdout.fileno(), 65536)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self.events += [json.loads(line) for line in lines]
        return bool(chunk)

    def errors(self) -> str:
        try:
            self.process.wait(0.5)  # its output may be closed a moment before
        except subprocess.TimeoutExpired:
            return "(still running)"
        assert self.process.stderr is not None
        return f"exit {self.process.returncode}: {self.process.stderr.read().decode()}"

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to the scheduler alone."""
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def ended(self) -> int:
        """Wait for its end; return the exit code."""
        deadline = time.monotonic() + DEADLINE_S
        while self._more(deadline):
            pass
        return self.process.wait(DEADLINE_S)

    def workers(self) -> list[int]:
        """Return the pids of the worker processes: each leads a session."""
        return [pid for pid in descendants(self.process.pid) if is_worker(pid)]

    def destroy(self) -> None:
        for pid in [*descendants(self.process.pid), self.process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(DEADLINE_S)
        self.close()

    def close(self) -> None:
        """Let go of a scheduler that has ended."""
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def descendants(pid: int) -> list[int]:
    """Return the processes below this one, deepest last."""
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return []
    return [*children, *(below for child in children for below in descendants(child))]


def is_worker(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"forkserver" in command and os.getsid(pid) == pid


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that sends no event, with a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.01)
