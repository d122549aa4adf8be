"""A ledger in the server, filled in bulk, and the nodes that work on it as processes of their own."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from cronq.model import Definition, Micros
from cronq.store.documents import document_from_definition
from cronq.store.postgres.address import Address, parse_address
from cronq.store.postgres.location import server_place
from cronq.store.postgres.store import PostgresStore, open_postgres
from tests.benchmarks.filling import HOUR, Planned, argv, now_us
from tests.benchmarks.lab import ROOT
from tests.benchmarks.program import BOUND_S, wait_until
from tests.crash.program import descendants
from tests.postgres.server import Server

_COUNTER = itertools.count(1)


class Ledger:
    """One ledger in a database of its own, and a folder for what its nodes keep on the host."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.url = server.fresh_database()
        self.address: Address = parse_address(self.url, "benchmark")
        self.opened().close()
        separator = "&" if "?" in self.url else "?"
        self.connection = psycopg.connect(
            f"{self.url}{separator}options=-csearch_path%3Dcronq", autocommit=True
        )

    def opened(self) -> PostgresStore:
        """Return a store of this process."""
        return open_postgres(self.address, server_place(self.url, "benchmark", self.environ()), create=True)

    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.folder),
            "TZ": "UTC",
            "PYTHONPATH": str(ROOT),
            "CRONQ_DB": self.url,
            "NO_COLOR": "1",
        }

    def __call__(self, *arguments: str) -> str:
        """Run a command to its end."""
        words = [sys.executable, "-m", "cronq", *arguments]
        done = subprocess.run(words, env=self.environ(), capture_output=True, text=True, check=True)
        return done.stdout

    def one(self, statement: str) -> int:
        """Return the number that a statement answers."""
        row = self.connection.execute(statement.encode()).fetchone()
        assert row is not None
        return int(row[0])

    @contextmanager
    def node(self, *arguments: str) -> Iterator[Node]:
        """Run `cronq …`, until it is in the ledger and hears messages; end it after the block."""
        node = Node(self, arguments)
        try:
            yield node
        finally:
            node.destroy()

    @contextmanager
    def nodes(self, count: int, *arguments: str) -> Iterator[list[Node]]:
        """Run several alike."""
        found = [Node(self, arguments, wait=False) for _ in range(count)]
        try:
            for node in found:
                node.await_ready()
            yield found
        finally:
            for node in found:
                node.ask_to_end()
            for node in found:
                node.destroy()

    def close(self) -> None:
        self.connection.close()
        self.server.drop(self.url)

    # Filling

    def fill(self, jobs: Sequence[Planned], *, prefix: str = "job") -> list[int]:
        """Write jobs; return their numbers."""
        now, numbers = now_us(), []
        with self.connection.transaction():
            first = self.one("SELECT coalesce(max(id), 0) + 1 FROM job")
            with self.connection.cursor().copy(
                "COPY job (id, name, revision, next_fire_at, max_running, created_at, changed_at) FROM STDIN"
            ) as copy:
                for number, planned in enumerate(jobs, first):
                    numbers.append(number)
                    copy.write_row((number, f"{prefix}-{number}", 1, planned.next_fire_at,
                                    planned.definition.max_running, now, now))  # fmt: skip
            with self.connection.cursor().copy(
                "COPY definition (job_id, revision, since, document) FROM STDIN"
            ) as copy:
                for number, planned in zip(numbers, jobs, strict=True):
                    copy.write_row((number, 1, now, document_from_definition(planned.definition)))
            self.connection.execute("SELECT setval(pg_get_serial_sequence('job', 'id'), max(id)) FROM job")
        self.connection.execute("ANALYZE job, definition, run, attempt")
        return numbers

    def fill_idle(self, count: int) -> None:
        """Write jobs that fall due in an hour or later, all alike."""
        due = (now_us() // HOUR + 2) * HOUR
        first = self.one("SELECT coalesce(max(id), 0) + 1 FROM job")
        span = f"generate_series({first}, {first + count - 1}) AS n"
        document = document_from_definition(argv("/bin/true"))
        now = now_us()
        self.connection.execute(
            "INSERT INTO job (id, name, revision, next_fire_at, created_at, changed_at)"
            f" SELECT n, 'idle-' || n, 1, {due} + n, {now}, {now} FROM {span}".encode()
        )
        self.connection.execute(
            f"INSERT INTO definition (job_id, revision, since, document) SELECT n, 1, {now}, %s FROM {span}",
            (document,),
        )
        self.connection.execute("SELECT setval(pg_get_serial_sequence('job', 'id'), max(id)) FROM job")
        self.connection.execute("ANALYZE job, definition")

    def fill_queue(self, job: int, count: int) -> None:
        """Queue runs of a job, as `trigger` does; each gets its message."""
        now = self.one("SELECT cronq_now()")
        self.connection.execute(
            "INSERT INTO run (job_id, revision, trigger, logical_at, state, queued_at, available_at)"
            f" SELECT {job}, 1, 'manual', {now} + n, 'queued', {now}, {now}"
            f" FROM generate_series(1, {count}) AS n".encode()
        )
        self.connection.execute("ANALYZE run, procrastinate_jobs")

    def await_done(self) -> None:
        """Wait until nothing is queued or running; asks seldom."""
        wait_until(lambda: not self.one("SELECT count(*) FROM run WHERE state <> 'done'"), BOUND_S)


class Node:
    """A process, `cronq run` or `cronq worker`."""

    def __init__(self, ledger: Ledger, arguments: Sequence[str], *, wait: bool = True) -> None:
        self._ledger = ledger
        number = next(_COUNTER)
        self.log = ledger.folder / f"node-{number}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cronq", *arguments],
                env=ledger.environ(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if wait:
            self.await_ready()

    @property
    def pid(self) -> int:
        return self.process.pid

    def await_ready(self) -> None:
        """Wait until it is entered, and its wire listens."""

        def is_ready() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(self.log.read_text())
            return bool(
                self._ledger.one(f"SELECT count(*) FROM node WHERE pid = {self.pid} AND stopped_at IS NULL")
            ) and self._ledger.one("SELECT count(*) FROM procrastinate_workers") >= self._ledger.one(
                "SELECT count(*) FROM node WHERE stopped_at IS NULL AND lost_at IS NULL"
            )

        wait_until(is_ready, BOUND_S)
        time.sleep(0.3)

    def ask_to_end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def destroy(self) -> None:
        below = descendants(self.pid) if self.process.poll() is None else []
        self.ask_to_end()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            for pid in below:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait(10)


def stamping(lab_program: str, stamps: Path, *words: str, **fields: object) -> Definition:
    """Return a definition of the program that notes when it began."""
    return argv(lab_program, str(stamps), *words, **fields)  # type: ignore[arg-type]


def due_in(seconds: float) -> Micros:
    return now_us() + round(seconds * 1e6)
