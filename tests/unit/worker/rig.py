"""A pool under test: real processes, a real clock, and waiting on events with a deadline."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cronq import clock
from cronq.model import (
    AttemptEnd,
    AttemptKey,
    AttemptStart,
    Claim,
    Command,
    CommandKind,
    Definition,
    Run,
    State,
    Trigger,
)
from cronq.store.location import Place
from cronq.waiting import SystemClock
from cronq.worker import kernel, liveness
from cronq.worker.base import Lost, Recalled, Trouble
from cronq.worker.pool import Pool
from cronq.worker.spool import Log, open_log

PATIENCE_S = 60.0
"""Far longer than anything takes, because the machine may have a great many other things to do."""


def place_at(folder: Path) -> Place:
    return Place(folder / "cronq.db", folder / "logs", "test")


def log_at(path: Path) -> Log:
    """Return a log that stays where it is."""

    class Fixed(Log):
        @property
        def path(self) -> str:
            return str(path)

        def settle(self, *, is_needed: bool) -> None:
            pass

    return Fixed(place_at(path.parent), (1, 1), "w")


def definition(*words: str, **values: Any) -> Definition:
    kind = values.pop("kind", CommandKind.ARGV)
    command = Command(kind, words, values.pop("args", ""))
    values.setdefault("path", os.environ.get("PATH", os.defpath))
    values.setdefault("kill_after_s", 5.0)
    return Definition(command, "every 1h", **values)


def shell(line: str, **values: Any) -> Definition:
    return definition(line, kind=CommandKind.SHELL, **values)


def function(target: str, args: str = "", **values: Any) -> Definition:
    return definition(target, kind=CommandKind.PYTHON, args=args, **values)


def claim_of(what: Definition, number: int = 1, worker: str = "w", **values: Any) -> Claim:
    now = clock.now_us()
    fields: dict[str, Any] = {
        "id": number,
        "job_id": 1,
        "job": "job",
        "revision": 1,
        "trigger": Trigger.MANUAL,
        "state": State.RUNNING,
        "logical_at": now,
        "queued_at": now,
        "available_at": now,
        "attempt": 1,
        "worker": worker,
    }
    return Claim(Run(**(fields | values)), what, worker, now)


class Rig:
    """Drives a pool as the scheduler's loop would."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.place = place_at(folder)
        self.clock = SystemClock()
        options.setdefault("size", 4)
        self.pool = Pool(self.clock, self.place, boot_id=kernel.boot_id(), **options)
        self.starts: dict[AttemptKey, AttemptStart] = {}
        self.ends: dict[AttemptKey, AttemptEnd] = {}
        self.lost: list[Lost] = []
        self.troubles: list[Trouble] = []
        self.recalled: list[AttemptKey] = []
        self.workers: dict[AttemptKey, str] = {}
        self.acknowledges = True
        self._number = 0
        self.pool.start()

    def turn(self, until: float) -> None:
        """Take what has happened, then wait for more."""
        for report in self.pool.poll():
            if isinstance(report, AttemptStart):
                self.starts[report.key] = report
            elif isinstance(report, AttemptEnd):
                assert report.key not in self.ends, "an attempt ended twice"
                self.ends[report.key] = report
                if self.acknowledges:
                    self.pool.acknowledge([report.key])
            elif isinstance(report, Trouble):
                self.troubles.append(report)
            elif isinstance(report, Recalled):
                self.recalled.append(report.key)
            else:
                self.lost.append(report)
        wake = min(deadline for deadline in (until, self.pool.deadline()) if deadline is not None)
        wait_s = min(0.05, max(0.0, wake - clock.monotonic()))
        self.clock.wait(self.clock.now() + round(wait_s * 1e6))

    def wait(self, condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
        """Turn until something is so."""
        deadline = clock.monotonic() + patience_s
        while not condition():
            assert clock.monotonic() < deadline, f"waited in vain; ends {self.ends}, lost {self.lost}"
            self.turn(deadline)

    def begin(self, what: Definition, **values: Any) -> AttemptKey:
        """Assign a claim to an idle worker."""
        self.pool.want(1)
        self.wait(self.pool.idle)
        self._number += 1
        claim = claim_of(what, values.pop("number", self._number), self.pool.idle()[0], **values)
        self.workers[claim.key] = claim.worker
        self.pool.assign(claim)
        return claim.key

    def hold(self, what: Definition) -> AttemptKey:
        """Let the only busy worker hold a claim ready."""
        (name,) = self.pool.ahead()
        self._number += 1
        claim = claim_of(what, self._number, name)
        self.workers[claim.key] = name
        self.pool.assign(claim)
        return claim.key

    def started(self, what: Definition, **values: Any) -> AttemptStart:
        """Begin an attempt, and wait until its process runs."""
        key = self.begin(what, **values)
        self.wait(lambda: key in self.starts)
        return self.starts[key]

    def end_of(self, key: AttemptKey) -> AttemptEnd:
        """Wait for an end."""
        self.wait(lambda: key in self.ends)
        return self.ends[key]

    def execute(self, what: Definition, **values: Any) -> AttemptEnd:
        """Execute one attempt to its end."""
        return self.end_of(self.begin(what, **values))

    def log(self, key: AttemptKey) -> str:
        _, fd = open_log(self.place, key, self.workers.get(key, ""))
        if fd is None:
            return ""
        with os.fdopen(fd, encoding="utf-8") as file:
            return file.read()

    def attempt_lock(self, key: AttemptKey) -> Path:
        return liveness.attempt_file(self.place, self.workers[key])

    def wait_for_line(self, key: AttemptKey, line: str) -> None:
        """Wait until an attempt has written a line."""
        self.wait(lambda: line in self.log(key).splitlines())

    def worker_pid(self) -> int:
        """Return the pid of the only worker that is busy."""
        (slot,) = [slot for slot in self.pool._slots.values() if slot.key is not None or slot.ends]
        return slot.pid

    def close(self) -> None:
        for key in self.pool.in_hand():
            self.pool.kill(key)
        self.wait(lambda: not self.pool.in_hand())
        self.pool.close()
        self.clock.close()


@contextmanager
def open_files_limited(soft: int) -> Iterator[None]:
    """Set the soft limit of open files; with 0, everything that opens a file gets EMFILE."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


def is_running(pid: int) -> bool:
    info = kernel.process_info(pid)
    return info is not None and info.state not in {"Z", "X"}


def renumbered(claim: Claim, **values: Any) -> Claim:
    return claim._replace(run=claim.run._replace(**values))
