"""Where the torture takes place: a plain folder, a small disk, or a clock that can be set."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cronq import doorbell
from cronq.worker import kernel
from tests.crash.program import Cronq, is_worker
from tests.crash.witness import PYTHON_JOB, SHELL_JOB, Key, Ledger, Line, parse_time, read_lines

DISK_KIB = 16 * 1024

_SLEEP = "import select, time; time.sleep = lambda seconds: select.select([], [], [], seconds) and None"
"""Python sleeps until an instant of CLOCK_MONOTONIC: libfaketime 0.9.10 refuses if that is not faked."""

_ALL = ("--catch-up", "all", "--catch-up-limit", "1000000")
JOBS: dict[str, tuple[int, tuple[str, ...]]] = {
    "skip": (1, ("--overlap", "skip")),
    "queue": (
        1,
        ("--overlap", "queue", "--max-queued", "100000", "--retries", "2", "--retry-delay", "100ms"),
    ),
    "allow": (2, ("--overlap", "allow", "--on-crash", "rerun")),
    "retry": (3, ("--overlap", "skip", "--retries", "3", "--retry-delay", "200ms")),
    "python": (2, ("--overlap", "skip")),
}
"""Name → seconds between fire times, policies. Runs of `allow` may overlap, those of the others may not."""


class Unavailable(Exception):
    """Such a world cannot be made on this machine; the text says why."""


@dataclass
class World:
    """One database, its jobs, and their witness, which is not where the database is.

    Attributes:
        name: What is peculiar about it.
        fill: Takes all room on the disk, and returns what gives it back; None: the disk is everybody's.
        shift_s: How far the clock is from the machine's.
    """

    name: str
    cronq: Cronq
    folder: Path
    fill: Callable[[], Callable[[], None]] | None = None
    stamp: Path | None = None
    shift_s: float = 0.0
    latest: datetime | None = None
    """The latest time before a step of the clock."""

    def now(self) -> datetime:
        """Return the time that cronq sees."""
        return datetime.now(UTC) + timedelta(seconds=self.shift_s)

    def set_clock(self, shift_s: float) -> None:
        """Step the clock of everything that runs here."""
        assert self.stamp is not None
        self.latest = max(self.latest or self.now(), self.now())
        self.shift_s = shift_s
        draft = self.stamp.with_suffix(".draft")
        draft.write_text(f"{shift_s:+.3f}")
        draft.replace(self.stamp)
        # The kernel would cancel the alarm of a scheduler; a clock that only it sees cannot.
        self.ring()

    def ring(self) -> None:
        """Ring the doorbell, as each command does that changes something."""
        doorbell.ring(self.cronq.database.with_name(f"{self.cronq.database.name}.bell"))

    def add_jobs(self, pause_s: Callable[[], float]) -> dict[str, datetime]:
        """Define the jobs; return the first fire time of each."""
        script = self.folder / "job.sh"
        script.write_text(SHELL_JOB)
        (self.folder / "witness_job.py").write_text(PYTHON_JOB)
        firsts = {}
        for name, (every_s, policies) in JOBS.items():
            lock, pause = self.folder / name, f"{pause_s():.1f}"
            if name == "python":
                arguments = json.dumps([str(self.witness), str(lock), float(pause)])
                call = ("--python", "witness_job:work", "--args", arguments, "--cwd", str(self.folder))
            else:
                where = f"{lock}.of/" if name == "allow" else str(lock)
                call = ("--", "sh", str(script), str(self.witness), where, pause)
            self.cronq("add", name, f"every {every_s}s", *_ALL, *policies, *call)
            shown = json.loads(self.cronq("show", name, "--json"))["job"]
            firsts[name] = parse_time(shown["next_fire_at"])
        (self.folder / "allow.of").mkdir()
        return firsts

    @property
    def witness(self) -> Path:
        return self.folder / "witness"

    def lines(self) -> list[Line]:
        return read_lines(self.witness)

    def retire_jobs(self, firsts: Mapping[str, datetime]) -> dict[str, datetime]:
        """Let no job fire any more; return up to when each is accounted for."""
        settled = {}
        for name in firsts:
            settled[name] = self.now()
            self.cronq("set", name, "every 10000h from 2000-01-01")
        return settled

    def ledgers(self, firsts: Mapping[str, datetime], settled: Mapping[str, datetime]) -> dict[str, Ledger]:
        latest = max(self.latest or self.now(), self.now())
        return {
            name: Ledger(self.cronq.rows(name), JOBS[name][0], firsts[name], settled[name], latest)
            for name in firsts
        }

    # Processes, found by their environment alone

    def processes(self) -> list[int]:
        """Return every process of this world: schedulers, workers, commands, and what they left."""
        path = os.fsencode(self.cronq.database)
        found = []
        for info in kernel.all_processes():
            environ = kernel.environment_of(info.pid)
            if path in (environ.get(b"CRONQ_DB"), environ.get(b"CRONQ_STORE")):
                found.append(info.pid)
        return found

    def workers(self) -> list[int]:
        """Return the workers, of living and dead schedulers."""
        found = {pid for pid in self.processes() if _is_worker(pid)}
        parents = {pid: info.parent for pid in found if (info := kernel.process_info(pid)) is not None}
        # Between fork and exec a command looks like its worker.
        return [pid for pid, parent in parents.items() if parent not in found]

    def attempts_of(self, worker: int) -> set[Key]:
        """Return the attempts whose end a worker knows, or will know: their lock files name it."""
        found = set()
        for path in self.cronq.database.with_name(f"{self.cronq.database.name}.attempts").glob("*.attempt"):
            # Held: not over. Named in it: over perhaps, but its end is not in the ledger.
            with contextlib.suppress(OSError, ValueError):
                hint = json.loads(path.read_text())
                if kernel.holds_file(worker, str(path)) or hint["worker_pid"] == worker:
                    run_id, attempt = hint["key"]
                    found.add((run_id, attempt))
        return found

    def commands(self) -> dict[int, Key]:
        """Return the commands that run (not what they started): pid → run, attempt."""
        found = {}
        for pid in self.processes():
            environ = kernel.environment_of(pid)
            info = kernel.process_info(pid)
            if info is not None and info.session == pid and b"CRONQ_ATTEMPT" in environ:
                found[pid] = (int(environ[b"CRONQ_RUN_ID"]), int(environ[b"CRONQ_ATTEMPT"]))
        return found


def _is_worker(pid: int) -> bool:
    try:
        return is_worker(pid)
    except ProcessLookupError:
        return False


@contextmanager
def plain(folder: Path) -> Iterator[World]:
    """An ordinary folder and the machine's clock."""
    yield World("plain", Cronq(_private(folder / "home")), folder)


@contextmanager
def small_disk(folder: Path) -> Iterator[World]:
    """Database and logs on a file system of some megabytes, which can be filled."""
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        raise Unavailable("full disk: only root can mount a small file system")
    home = _private(folder / "disk")
    options = f"size={DISK_KIB}k,mode=0700"
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", options, "cronq-torture", str(home)], capture_output=True, check=False
    )
    if done.returncode != 0:
        raise Unavailable("full disk: a small file system cannot be mounted here")
    try:
        yield World("small disk", Cronq(home), folder, fill=lambda: _fill(home / "filler"))
    finally:
        subprocess.run(["umount", str(home)], check=True)


@contextmanager
def set_clock(folder: Path) -> Iterator[World]:
    """A clock that the driver sets, by libfaketime: for all that cronq does, and for nobody else."""
    library = find_faketime()
    if library is None:
        raise Unavailable("clock steps: libfaketime is not installed")
    stamp = folder / "stamp"
    stamp.write_text("+0.000")
    (folder / "sitecustomize.py").write_text(_SLEEP)
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    always = {
        "PYTHONPATH": path,
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(stamp),
        "FAKETIME_NO_CACHE": "1",
        # CLOCK_MONOTONIC does not step when somebody sets the clock.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    yield World("set clock", Cronq(_private(folder / "home"), always=always), folder, stamp=stamp)


WORLDS = (plain, small_disk, set_clock)


def find_faketime() -> Path | None:
    """Return the library that fakes the time, where the system's package puts it."""
    for pattern in ("lib/*/faketime", "lib/faketime", "lib64/faketime", "local/lib/faketime"):
        for found in sorted(Path("/usr").glob(f"{pattern}/libfaketime.so.1")):
            return found
    return None


def _private(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return folder


def _fill(filler: Path) -> Callable[[], None]:
    """Take all the room there is; return what gives it back."""
    with filler.open("wb", buffering=0) as file:
        size = 1 << 20
        while size >= 512:
            try:
                file.write(b"\0" * size)
            except OSError:
                size //= 2
    return lambda: filler.unlink(missing_ok=True)


def wait_for(condition: Callable[[], bool], bound_s: float) -> bool:
    """Return whether it came true in time."""
    deadline = time.monotonic() + bound_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True
