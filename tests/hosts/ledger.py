"""A ledger in a server on one of the hosts, the nodes on all of them, and what their runs wrote down."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import namedtuple_row

from cronq import clock
from cronq.store.postgres.cluster import Cluster
from tests.hosts.network import Host, Process
from tests.postgres.server import WHEEL, owner_for_tests, programs

LEASE_S = 12.0
"""Of most tests: it ends sooner, and a beat may be late all the same."""

# Says each 50 ms that it lives, in two processes of which one has run away, and neither heeds TERM.
JOB = r"""
import os, signal, sys, time
witness, seconds = sys.argv[1], float(sys.argv[2])
fd = os.open(witness, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
own = " ".join(os.environ[name] for name in ("CRONQ_JOB", "CRONQ_RUN_ID", "CRONQ_ATTEMPT"))
def say(word):
    os.write(fd, f"{own} {os.uname().nodename} {word} {time.clock_gettime(time.CLOCK_BOOTTIME)}\n".encode())
signal.signal(signal.SIGTERM, signal.SIG_IGN)
say("start")
child = os.fork()
if not child:
    os.setsid()
end = time.monotonic() + seconds
while time.monotonic() < end:
    time.sleep(0.05)
    say("child" if not child else "lives")
if child:
    os.waitpid(child, 0)
    say("end")
"""


class Line(NamedTuple):
    """What a process of an attempt wrote; `at` is CLOCK_BOOTTIME."""

    job: str
    run_id: int
    attempt: int
    host: str
    word: str
    at: float


class PostgresServer:
    """A server on a host, open to the others, who need a password."""

    def __init__(self, host: Host, password: str, *options: str) -> None:
        self.host = host
        self.password = password
        self.folder = host.folder / "postgres"
        self.folder.mkdir(mode=0o711)
        host.folder.chmod(0o711)
        self._options = options
        self.cluster = Cluster(
            self.folder / "data", programs(os.environ.get("CRONQ_TEST_POSTGRES") or WHEEL), owner_for_tests()
        )
        self.sockets = self.folder / "s"
        self.sockets.mkdir()
        self.cluster.give(self.sockets)

    def make(self) -> None:
        """Make the database, and its user."""
        self.cluster.make()
        with (self.cluster.data / "pg_hba.conf").open("w") as file:
            file.write("local all all trust\nlocal replication all trust\n")
            file.write("host all all all scram-sha-256\nhost replication all all scram-sha-256\n")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = (f"listen_addresses={self.host.address}", "fsync=off", "timezone=UTC", *self._options)
        words = [
            str(self.cluster.programs / "postgres"),
            "-D",
            str(self.cluster.data),
            "-k",
            str(self.sockets),
        ]
        words += [word for setting in settings for word in ("-c", setting)]
        self._process = self.host.start(*self._as_owner(), *words, log=self.folder / "log")
        eventually(self._answers, "the server answers", 30)

    def set_password(self) -> None:
        self.execute(f"ALTER ROLE cronq PASSWORD '{self.password}'")

    def program(self, *words: str) -> str:
        """Run one of PostgreSQL's programs on its host, as its user."""
        path = str(self.cluster.programs / words[0])
        return self.host.run(*self._as_owner(), path, *words[1:], environ={"PGPASSWORD": self.password})

    def stop(self, mode: str = "fast") -> None:
        self.program("pg_ctl", "stop", "-w", "-s", "-m", mode, "-D", str(self.cluster.data))

    def _as_owner(self) -> list[str]:
        owner = self.cluster.owner
        if owner is None:
            return []
        return ["setpriv", f"--reuid={owner.uid}", f"--regid={owner.gid}", "--clear-groups", "--"]

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def execute(self, statement: str, *values: object) -> list[Any]:
        """Run a statement from outside, through its socket."""
        where = f"host={self.sockets} user=cronq dbname=cronq options='-c search_path=cronq'"
        with psycopg.connect(where, autocommit=True, row_factory=namedtuple_row) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []


class Ledger:
    """A ledger in a server, asked from outside; `url` is what the hosts are told."""

    def __init__(self, server: PostgresServer, url: str, folder: Path, lease_s: float = LEASE_S) -> None:
        self.server = server
        self.url = url
        self.witness = folder / "witness"
        self.witness.touch()
        self._script = folder / "job.py"
        self._script.write_text(JOB)
        self._lease_s = lease_s
        self._folder = folder
        self._nodes = 0

    def cronq(self, host: Host, *words: str, code: int = 0, url: str | None = None) -> str:
        """Run a command on a host."""
        return host.run(
            *(sys.executable, "-m", "cronq", *words), environ={"CRONQ_DB": url or self.url}, code=code
        )

    def add(self, host: Host, name: str, schedule: str, seconds: float, *options: str) -> None:
        """Add a job that says for so long that it lives."""
        command = (sys.executable, str(self._script), str(self.witness), str(seconds))
        self.cronq(host, "add", name, schedule, *options, "--cwd", "/", "--", *command)

    def trigger(self, host: Host, name: str) -> int:
        """Trigger a job; return the run's number."""
        return int(self.cronq(host, "-q", "trigger", name).split()[-1])

    def node(self, host: Host, *words: str, url: str | None = None) -> Process:
        """Start a node, and wait until it has a lease."""
        self._nodes += 1
        before = len(self.server.execute("SELECT 1 FROM node")) if self._nodes > 1 else 0
        environ = {"CRONQ_DB": url or self.url, "CRONQ_LEASE": str(self._lease_s)}
        command = (sys.executable, "-m", "cronq", *(words or ("run",)), "--log-format", "json")
        log = self._folder / f"{host.name}.{self._nodes}.log"
        process = host.start(*command, log=log, environ=environ)
        eventually(lambda: self._count_nodes() > before, f"a node on {host.name}: {process.said()}", 30)
        return process

    def _count_nodes(self) -> int:
        try:
            return len(self.server.execute("SELECT 1 FROM node"))
        except psycopg.errors.UndefinedTable:
            return 0

    def nodes(self, host: Host) -> list[Any]:
        """Return what is known of a host's nodes, oldest first."""
        return self.server.execute("SELECT * FROM node WHERE host = %s ORDER BY id", host.name)

    def lines(self, run_id: int) -> list[Line]:
        """Return what the processes of a run wrote down."""
        found = []
        for text in self.witness.read_text().splitlines():
            job, number, attempt, host, word, at = text.split()
            found.append(Line(job, int(number), int(attempt), host, word, float(at)))
        return [line for line in found if line.run_id == run_id]

    def run(self, run_id: int) -> Any:
        return self.server.execute("SELECT * FROM run WHERE id = %s", run_id)[0]

    def attempts(self, run_id: int) -> list[Any]:
        return self.server.execute("SELECT * FROM attempt WHERE run_id = %s ORDER BY attempt", run_id)

    def check_fire_times(self, name: str, every_s: int) -> int:
        """See that each fire time up to the last has exactly one run; return how many there were."""
        rows = self.server.execute(
            "SELECT r.fire_at, r.last_fire_at, r.fire_count FROM run r JOIN job j ON j.id = r.job_id"
            " WHERE j.name = %s AND r.fire_at IS NOT NULL ORDER BY r.fire_at",
            name,
        )
        step = every_s * 1_000_000
        expected = rows[0].fire_at
        for row in rows:
            assert row.fire_at == expected, (
                f"{name}: {(row.fire_at - expected) / step} fire times are missing"
            )
            assert row.last_fire_at == row.fire_at + (row.fire_count - 1) * step
            expected = row.last_fire_at + step
        return sum(row.fire_count for row in rows)

    def audit(self, host: Host) -> None:
        """See that the ledger is consistent."""
        self.cronq(host, "audit")


def boottime_of(micros: int) -> float:
    """Return the CLOCK_BOOTTIME of a wall time; the server's clock is this machine's."""
    return clock.boottime_ns() / 1e9 - (time.time() - micros / 1e6)


def eventually(holds: Callable[[], object], what: str, seconds: float = 20.0, every_s: float = 0.05) -> float:
    """Wait until something holds; return how many seconds it took."""
    begin = time.monotonic()
    while not holds():
        assert time.monotonic() - begin < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(every_s)
    return time.monotonic() - begin
