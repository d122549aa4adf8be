"""Several real nodes on one real PostgreSQL, and what they wrote down."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from cronq.cli._change import settle
from cronq.model import SECOND, Command, CommandKind, Definition, Micros, Overlap
from cronq.store import JobChange, NewJob
from cronq.store.postgres.address import DEFAULT_SCHEMA
from cronq.store.postgres.location import server_place
from cronq.store.postgres.store import open_postgres
from tests.crash.program import Cronq, Running, descendants
from tests.crash.stock import PATH
from tests.postgres.server import Server

SHORT_LEASE = "tests.nodes.short_lease"
HOUR = 3600 * SECOND
SELDOM = 10_000 * HOUR
Y2K = 946_684_800 * SECOND
ROOT = Path(__file__).parents[2]

WITNESS_JOB = r"""
own="$CRONQ_JOB $CRONQ_RUN_ID $CRONQ_ATTEMPT $CRONQ_FIRE_TIME $$"
say() { read -r up _ < /proc/uptime; printf '%s\n' "$own $1 $up" >> "$witness"; }
witness=$1
exec 9>> "$2.$CRONQ_RUN_ID"
flock -n 9 || say overlap
say start
sleep "$3"
say end
"""
"""Appends JOB RUN_ID ATTEMPT FIRE_TIME PID WORD UPTIME, one write a line.

The lock is of the run: all of an attempt holds it, so the next attempt says `overlap` if it finds a part of
the one before alive. That is the proof that a second start followed the end of the first.
"""

RECORDER = """
CREATE TABLE recorded (run_id bigint, fire_at bigint, at bigint);
CREATE FUNCTION record_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO {schema}.recorded VALUES (NEW.id, NEW.fire_at, {schema}.cronq_now());
    RETURN NEW;
END $$;
CREATE TRIGGER recorded AFTER INSERT ON run FOR EACH ROW EXECUTE FUNCTION record_run();
"""
"""Has the server write down when each run was made, by its own clock."""


class Line(NamedTuple):
    """What an attempt wrote; `uptime_s` is the machine's, to a hundredth."""

    job: str
    run_id: int
    attempt: int
    fire_time: str
    pid: int
    word: str
    uptime_s: float

    @property
    def key(self) -> tuple[int, int]:
        return self.run_id, self.attempt


@dataclass
class Nodes:
    """A ledger in PostgreSQL, and hosts: each is a home folder of its own on this machine."""

    server: Server
    url: str
    folder: Path
    module: str = "cronq"
    running: list[Running] = field(default_factory=list)

    @property
    def cronq(self) -> Cronq:
        """The command line, on the first host."""
        return self.host("a")

    def host(self, name: str, **environ: str) -> Cronq:
        home = self.folder / f"host-{name}"
        home.mkdir(mode=0o700, exist_ok=True)
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return _Cronq(home, always={"CRONQ_DB": self.url, "PYTHONPATH": path, **environ}, module=self.module)

    @contextmanager
    def run(self, host: str = "a", *options: str, **environ: str) -> Iterator[Running]:
        """Be a node; at the end of the block it is gone, with all it started."""
        running = self.start(host, *options, **environ)
        try:
            running.wait_for("scheduler_started")
            yield running
        finally:
            self.end(running)

    def start(self, host: str = "a", *options: str, **environ: str) -> Running:
        running = self.host(host, **environ).start("--workers", "4", *options)
        self.running.append(running)
        return running

    def wait(self, seconds: float) -> None:
        """Let time go by, and read what the nodes say: one whose pipe is full stands still."""
        ends_at = time.monotonic() + seconds
        while True:
            for running in self.running:
                running.pass_over()
            left_s = ends_at - time.monotonic()
            if left_s <= 0:
                return
            time.sleep(min(left_s, 0.1))

    def end(self, running: Running) -> None:
        """Destroy a node."""
        self.running.remove(running)
        running.destroy()

    def destroy(self) -> None:
        for running in [*self.running]:
            self.end(running)
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def processes(self, host: str = "") -> list[int]:
        """Return all of this ledger's processes, or a host's, also those whose node is dead."""
        found = []
        mark = f"HOME={self.folder}/host-{host}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with suppress(OSError):
                    if mark in (entry / "environ").read_bytes():
                        found.append(int(entry.name))
        return found

    def offspring(self) -> list[int]:
        """Return all below the nodes that live."""
        return [pid for running in self.running for pid in descendants(running.process.pid)]

    # The ledger, asked without cronq

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"SET search_path TO {DEFAULT_SCHEMA}".encode())
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def one(self, statement: str) -> Any:
        ((value,),) = self.rows(statement)
        return value

    def make(self) -> None:
        """Make the ledger, and let the server record what is put into it."""
        place = server_place(self.url, "test", self.cronq.environ())
        assert place.address is not None
        open_postgres(place.address, place, create=True).close()
        self.rows(RECORDER.replace("{schema}", DEFAULT_SCHEMA))

    def add_jobs(
        self, names: Sequence[str], command: Sequence[str], *, every_s: int = 1, **fields: Any
    ) -> None:
        """Add jobs that are due every so many seconds; all at once, and from the same instant on."""
        place = server_place(self.url, "test", self.cronq.environ())
        assert place.address is not None
        store = open_postgres(place.address, place)
        step = every_s * SECOND
        now = self.now()
        own: dict[str, Any] = {"max_running": None, "overlap": Overlap.ALLOW, "path": PATH, **fields}
        definition = Definition(Command(CommandKind.ARGV, tuple(command)), f"every {every_s}s", **own)
        with store.together():
            for name in names:
                store.add_job(NewJob(name, definition, (now // step + 1) * step), now=now)
        store.close()

    def end_schedules(self) -> None:
        """Give all jobs a schedule by which they are due in months, as `cronq set` does it."""
        place = server_place(self.url, "test", self.cronq.environ())
        assert place.address is not None
        with closing(open_postgres(place.address, place)) as store:
            names = [name for (name,) in self.rows("SELECT name FROM job")]
            now = self.now()
            changes = []
            for due in store.due(names):
                definition = due.job.definition._replace(schedule=f"every {SELDOM // HOUR}h from 2000-01-01")
                settled = settle(due, now)._replace(next_fire_at=Y2K + ((now - Y2K) // SELDOM + 1) * SELDOM)
                changes.append(JobChange(settled, definition))
            assert store.change_jobs(changes, now=now) is not None

    def now(self) -> Micros:
        """Return the server's time."""
        return int(self.one(f"SELECT {DEFAULT_SCHEMA}.cronq_now()"))

    def settle(self, bound_s: float = 60.0) -> None:
        """Wait until nothing is queued or running."""
        deadline = time.monotonic() + bound_s
        while self.one("SELECT count(*) FROM run WHERE state <> 'done'"):
            if time.monotonic() > deadline:
                left = self.rows(
                    "SELECT id, state, attempt, wire, node, reason FROM run WHERE state <> 'done'"
                )
                raise AssertionError(f"not done in {bound_s} s: {left[:10]}")
            self.wait(0.1)

    def early(self) -> list[tuple[Any, ...]]:
        """Return the runs that were made before their time, by the clock of the server."""
        return self.rows("SELECT * FROM recorded WHERE at < fire_at")

    def gaps(self, every_s: int) -> list[str]:
        """Return what is wrong with the fire times: each from the first to the last is there, once."""
        wrong = []
        for job, n, distinct, first, last in self.rows(
            "SELECT j.name, sum(r.fire_count), count(DISTINCT r.fire_at), min(r.fire_at), max(r.last_fire_at)"
            " FROM run r JOIN job j ON j.id = r.job_id WHERE r.fire_at IS NOT NULL GROUP BY 1"
        ):
            expected = (last - first) // (every_s * SECOND) + 1
            if n != expected:
                wrong.append(f"{job}: {n} fire times in {distinct} rows, and there were {expected}")
        return wrong

    def fire_times(self) -> int:
        return int(self.one("SELECT coalesce(sum(fire_count), 0) FROM run WHERE fire_at IS NOT NULL"))

    def outcomes(self) -> Counter[str]:
        return Counter(dict(self.rows("SELECT coalesce(outcome, state), count(*) FROM run GROUP BY 1")))

    # What the commands wrote themselves

    @property
    def witness(self) -> Path:
        return self.folder / "witness"

    def witnessed(self, sleep_s: float) -> list[str]:
        """Return the command of a job that writes down when it starts and ends."""
        script = self.folder / "job.sh"
        script.write_text(WITNESS_JOB)
        (self.folder / "locks").mkdir(exist_ok=True)
        return ["sh", str(script), str(self.witness), str(self.folder / "locks" / "run"), str(sleep_s)]

    def lines(self) -> list[Line]:
        if not self.witness.exists():
            return []
        found = []
        for text in self.witness.read_text().splitlines():
            job, run_id, attempt, fire_time, pid, word, uptime = text.split()
            found.append(Line(job, int(run_id), int(attempt), fire_time, int(pid), word, float(uptime)))
        return found

    def contradictions(self) -> list[str]:
        """Compare the witness with the ledger, when everything is done; return what does not fit."""
        lines = self.lines()
        wrong = [
            f"a part of the attempt before was alive: {line}" for line in lines if line.word == "overlap"
        ]
        starts = Counter(line.key for line in lines if line.word == "start")
        wrong += [f"attempt {key} was started {n} times" for key, n in starts.items() if n > 1]
        ends: defaultdict[tuple[int, int], int] = defaultdict(int)
        for line in lines:
            ends[line.key] += line.word == "end"
        ledger = {
            (run_id, attempt): (outcome, started_at)
            for run_id, attempt, outcome, started_at in self.rows(
                "SELECT run_id, attempt, outcome, started_at FROM attempt"
            )
        }
        wrong += [f"attempt {key} was started, and is in no ledger" for key in starts if key not in ledger]
        for key, (outcome, started_at) in ledger.items():
            if outcome is None:
                wrong.append(f"attempt {key} has no end")
            if outcome == "success" and (starts[key], ends[key]) != (1, 1):
                wrong.append(f"attempt {key} succeeded: {starts[key]} starts, {ends[key]} ends")
            if started_at is not None and not starts[key] and outcome != "abandoned":
                wrong.append(f"attempt {key} ({outcome}) has a start, and nothing was started")
        stuck = self.rows("SELECT id, state, reason, attempt FROM run WHERE state <> 'done'")
        return wrong + [f"stuck: {row}" for row in stuck]


@dataclass
class _Cronq(Cronq):
    module: str = "cronq"

    def argv(self, *arguments: str) -> list[str]:
        return [*self.under, self.python, "-m", self.module, *arguments]


def children(node: Running) -> list[int]:
    """Return the pids of a node's children that run Procrastinate's worker."""
    return [
        pid for pid in descendants(node.process.pid) if b"cronq.wire.child" in _command_line(pid).split(b"\0")
    ]


def _command_line(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def zombies(pids: Sequence[int]) -> list[int]:
    found = []
    for pid in pids:
        with suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                found.append(pid)
    return found
