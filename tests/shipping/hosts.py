"""Hosts for the tests: processes with a host name and a state folder of their own, on one ledger."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

import cronq

HOSTNAME = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"')
SECRET = "hunter2-and-more"


class Host:
    """A host; a command that fails fails the test, unless it is expected to."""

    def __init__(self, name: str, url: str, folder: Path) -> None:
        self.name = name
        self.url = url
        self.folder = folder / name
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "PYTHONPATH": str(Path(cronq.__file__).parents[1]),
            "CRONQ_DB": url,
            "CRONQ_DEBUG": "1",
            "TOKEN": SECRET,
        }
        self._nodes: list[subprocess.Popen[bytes]] = []

    def _words(self, *words: str) -> list[str]:
        return [*HOSTNAME, self.name, sys.executable, "-m", "cronq", *words]

    def run(self, *words: str, code: int = 0, errors: bool = False) -> bytes:
        """Run a command; return what it wrote to standard output, or else to standard error."""
        done = subprocess.run(
            self._words(*words), env=self.environ, cwd=self.folder, capture_output=True, timeout=60
        )
        assert done.returncode == code, (words, done.returncode, done.stderr.decode())
        return done.stderr if errors else done.stdout

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Begin a command, whose output is a pipe."""
        return subprocess.Popen(
            self._words(*words),
            env=self.environ,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def node(self, *words: str) -> subprocess.Popen[bytes]:
        """Begin a node, with what it says in a file."""
        with (self.folder / "node.log").open("ab") as log:
            process = subprocess.Popen(
                self._words(*(words or ("run",))),
                env=self.environ,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._nodes.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
        """End a node."""
        process.send_signal(number)
        process.wait(30)

    @contextmanager
    def living(self) -> Iterator[Host]:
        """End all nodes that are left, at the end of the block."""
        try:
            yield self
        finally:
            for process in self._nodes:
                if process.poll() is None:
                    process.terminate()
                    try:
                        process.wait(40)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()
            sys.stdout.write(self.said())

    def said(self) -> str:
        """Return what the nodes said."""
        path = self.folder / "node.log"
        return path.read_text() if path.exists() else ""

    def job(self, name: str, script: str, *options: str) -> None:
        """Add a job that is a shell script."""
        self.run("add", name, "every 1d", *options, "--", "sh", "-c", script)

    def trigger(self, name: str) -> int:
        """Trigger a job; return the number of the run."""
        before = self.rows("SELECT coalesce(max(id), 0) FROM run")[0][0]
        self.run("trigger", name)
        return int(self.rows(f"SELECT min(id) FROM run WHERE id > {before}")[0][0])

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the ledger."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET search_path = cronq")
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def ended(self, run_id: int) -> None:
        """Wait for the end of a run."""
        wait_for(lambda: self.rows(f"SELECT 1 FROM run WHERE id = {run_id} AND state = 'done'"))

    def shipped(self, run_id: int) -> None:
        """Wait until all of a run is shipped."""
        wait_for(lambda: self.rows(f"SELECT 1 FROM attempt WHERE run_id = {run_id} AND is_shipped"))

    def log(self, run_id: int, attempt: int = 1) -> Path:
        """Return where the log of an attempt is."""
        (found,) = self.folder.glob(f"state/cronq/postgres/*/*/logs/*/{run_id}.{attempt}.log")
        return found


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
