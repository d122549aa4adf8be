"""Who takes part: each is given the same work, and the started processes themselves note when they began."""

from __future__ import annotations

import shutil
import subprocess
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cronq.model import SECOND, Command, CommandKind
from tests.benchmarks.filling import Planned, argv, fill, fill_queue, instant
from tests.benchmarks.lab import HERE, Lab, Skipped, Stamp, read_stamps
from tests.benchmarks.program import BOUND_S, Program, wait_for

RECORD = 16
REQUIREMENTS = ("huey>=2.5", "apscheduler>=3.11,<4", "sqlalchemy>=2")
PRIORITIES = 3


class Started(NamedTuple):
    """What came of it: when all were due (0: a backlog), and when each began."""

    due_s: float
    stamps: list[Stamp]
    folder: Path


Ask = Callable[[Lab, int, int], Started]
"""Lab, how many, and how many at a time."""


def make_peers(folder: Path) -> Path:
    """Return a Python that has the peers, made in this folder unless it is there."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
    return python


# Backlogs: all can start at once, so many at a time


def bare_backlog(lab: Lab, count: int, slots: int) -> Started:
    """The loop in C."""
    return _bare(lab, count, slots, 0.0)


def cronq_backlog(lab: Lab, count: int, slots: int) -> Started:
    """cronq, with that many runs queued."""
    folder = lab.new_folder("cronq")
    return _cronq_backlog(
        folder, Command(CommandKind.ARGV, (lab.program("stamp"), _stamps(folder))), count, slots
    )


def cronq_callables(lab: Lab, count: int, slots: int) -> Started:
    """cronq, calling a Python function."""
    folder = lab.new_folder("cronq")
    (folder / "noting.py").write_text(
        "import os, struct, time\n"
        f"stamps = os.open({_stamps(folder)!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)\n"
        "def note():\n    os.write(stamps, struct.pack('qq', time.time_ns(), 0))\n"
    )
    return _cronq_backlog(folder, Command(CommandKind.PYTHON, ("noting:note",)), count, slots)


def spooler_backlog(lab: Lab, count: int, slots: int) -> Started:
    """task-spooler: each queued command is a process that waits, so let there be few."""
    command = shutil.which("tsp")
    if command is None:
        raise Skipped("task-spooler is not installed")
    folder = lab.new_folder("tsp")
    gate = folder / "gate"
    environ = {"TS_SOCKET": str(folder / "socket"), "TS_MAXFINISHED": "10", "TMPDIR": str(folder)}
    environ |= {"TS_SLOTS": str(slots), "TS_MAXCONN": str(count + 50), "PATH": "/usr/bin:/bin"}

    def spool(*words: str) -> None:
        subprocess.run([command, *words], env=environ, check=True, capture_output=True)

    try:
        for _ in range(slots):  # until all are queued, all slots are taken
            spool("-n", "sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.05; done")
        for number in range(count):
            spool("-n", lab.program("stamp"), _stamps(folder), str(number))
        gate.touch()
        wait_for(Path(_stamps(folder)), count * RECORD)
    finally:
        subprocess.run([command, "-K"], env=environ, check=False, capture_output=True)
    return Started(0.0, read_stamps(Path(_stamps(folder))), folder)


def peer(script: str, kind: str, store: str, lead_s: Callable[[int], float] = lambda _count: 0.0) -> Ask:
    """Return how to ask a peer that is a Python package.

    Args:
        script: In the folder `peers`.
        kind: `commands` or `callables`.
        store: `memory` or `file`.
        lead_s: How long it needs to take so many jobs in, before they may be due; 0: a backlog.
    """

    def ask(lab: Lab, count: int, slots: int) -> Started:
        if lab.peers is None:
            raise Skipped("not installed; give --peers")
        folder = lab.new_folder(script)
        where = "memory" if store == "memory" else str(folder / "peer.db")
        words = (
            kind,
            where,
            str(count),
            str(slots),
            str(lead_s(count)),
            lab.program("stamp"),
            _stamps(folder),
        )
        done = subprocess.run(
            [str(lab.peers), str(HERE / "peers" / f"{script}.py"), *words],
            capture_output=True,
            text=True,
            timeout=BOUND_S,
        )
        if done.returncode:
            raise Skipped(done.stderr.strip().splitlines()[-1])
        return Started(float(done.stdout), read_stamps(Path(_stamps(folder))), folder)

    return ask


# Herds: all are due at one instant


def bare_herd(lab: Lab, count: int, slots: int) -> Started:
    """The loop in C, which waits for the instant."""
    return _bare(lab, count, slots, time.time() + 0.3)


def cronq_herd(lab: Lab, count: int, slots: int) -> Started:
    """cronq, with as many jobs of three priorities."""
    folder = lab.new_folder("cronq")
    program = Program(folder)
    due_us = round((time.time() + 3 + count / 2_000) * SECOND)
    stamp, schedule = lab.program("stamp"), instant(due_us)
    fill(
        program.place,
        (
            Planned(
                argv(stamp, _stamps(folder), str(number), schedule=schedule, priority=number % PRIORITIES),
                due_us,
            )
            for number in range(count)
        ),
    )
    with program.run("--workers", str(slots)):
        if time.time() * SECOND > due_us - 0.3 * SECOND:
            raise Skipped("the machine is too busy: it was ready only when all were due")
        wait_for(Path(_stamps(folder)), count * RECORD)
    return Started(due_us / SECOND, read_stamps(Path(_stamps(folder))), folder)


def busybox_herd(lab: Lab, count: int, slots: int) -> Started:
    """busybox crond at the next full minute; it starts all at once, whatever the slots."""
    command = shutil.which("busybox")
    if command is None:
        raise Skipped("busybox is not installed")
    applets = subprocess.run([command, "--list"], capture_output=True, text=True, check=True).stdout.split()
    if "crond" not in applets:
        raise Skipped("this busybox has no crond; Debian's busybox-static has one")
    folder = lab.new_folder("busybox")
    due_s = _write_crontab(lab, folder, count)
    daemon = subprocess.Popen([command, "crond", "-f", "-c", str(folder / "tabs"), "-L", str(folder / "log")])
    return _await_minute(daemon, due_s, folder, count)


def cron_herd(lab: Lab, count: int, slots: int) -> Started:
    """Debian's cron at the next full minute, with a spool folder of its own in a mount namespace."""
    if shutil.which("cron") is None or shutil.which("unshare") is None:
        raise Skipped("cron, or unshare, is not installed")
    if not Path("/var/spool/cron/crontabs").is_dir():
        raise Skipped("cron is there, but its spool folder is not")
    folder = lab.new_folder("cron")
    due_s = _write_crontab(lab, folder, count)
    script = (
        'set -e; mount --bind "$1" /var/spool/cron/crontabs; mkdir -p "$2"; mount --bind "$2" /run;'
        " exec cron -f"
    )
    (folder / "tabs" / "root").chmod(0o600)
    daemon = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(folder / "tabs"), str(folder / "run")],
        stderr=subprocess.DEVNULL,
    )
    time.sleep(1)
    if daemon.poll() is not None:
        raise Skipped("cron needs root, and mount namespaces")
    return _await_minute(daemon, due_s, folder, count)


def _bare(lab: Lab, count: int, slots: int, due_s: float) -> Started:
    folder = lab.new_folder("bare")
    subprocess.run(
        [
            lab.program("bare"),
            str(count),
            str(slots),
            str(round(due_s * 1e9)),
            lab.program("stamp"),
            _stamps(folder),
        ],
        check=True,
        timeout=BOUND_S,
    )
    return Started(due_s, read_stamps(Path(_stamps(folder))), folder)


def _cronq_backlog(folder: Path, command: Command, count: int, slots: int) -> Started:
    program = Program(folder)
    definition = argv("/bin/true")._replace(command=command, cwd=str(folder))
    fill(program.place, [Planned(definition)])
    fill_queue(program.place, count)
    with program.run("--workers", str(slots), "--until-idle") as running:
        running.wait()
    return Started(0.0, read_stamps(Path(_stamps(folder))), folder)


def _stamps(folder: Path) -> str:
    return str(folder / "stamps")


def _write_crontab(lab: Lab, folder: Path, count: int) -> float:
    """Write one crontab for the next full minute but a few seconds; return that minute."""
    due = (int(time.time() + 8) // 60 + 1) * 60
    at = time.localtime(due)
    (folder / "tabs").mkdir()
    line = f"{at.tm_min} {at.tm_hour} * * * {lab.program('stamp')} {_stamps(folder)}"
    (folder / "tabs" / "root").write_text("".join(f"{line} {number}\n" for number in range(count)))
    return float(due)


def _await_minute(daemon: subprocess.Popen[bytes], due_s: float, folder: Path, count: int) -> Started:
    try:
        time.sleep(max(0.0, due_s - time.time()))
        if daemon.poll() is not None:
            raise Skipped(f"it ended with exit code {daemon.returncode}")
        wait_for(Path(_stamps(folder)), count * RECORD)
    finally:
        daemon.kill()
        daemon.wait()
    return Started(due_s, read_stamps(Path(_stamps(folder))), folder)
