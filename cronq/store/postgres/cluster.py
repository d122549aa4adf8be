"""One PostgreSQL server of our own: made, started, found and stopped with PostgreSQL's own programs.

Nothing here listens on the network: the socket's folder belongs to the server's user alone, and who may open
it is trusted. What is said of a server is asked of its socket, never of its pid file alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from cronq import clock
from cronq.errors import StoreBusy, StoreError

ROLE = "cronq"
DATABASE = "cronq"
PORT = 5432
"""Only a part of the socket's name."""

NO_PROCESS = 2**31 - 1
"""A process id that no system gives out."""

ROOT = Path("/")
"""Where programs run: the caller's folder may be closed to the server's user."""

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(PORT),
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Errors are told to the client, who reports them; all of them here would fill the disk.
    "log_min_messages": "log",
    "log_checkpoints": "off",
}
"""Given at each start, so that no file of PostgreSQL's is changed, and a later cronq can change them."""

LONGEST_LOG = 1_000_000
"""Bytes; a longer one is set aside at the next start."""

HELD = ("already exists", "still in use")
"""What a start says that another server, or what is left of one, stands in the way of."""

HELD_FOR = 10.0
"""Seconds that the processes of a dead server have to notice it."""


class Owner(NamedTuple):
    """The user that a server runs as, where it is not the user of this process: PostgreSQL refuses root."""

    uid: int
    gid: int
    name: str


class Postmaster(NamedTuple):
    """What a server's pid file says.

    Attributes:
        sockets: The folder of its socket.
        status: `starting`, `ready`, `stopping` or `standby`.
    """

    pid: int
    sockets: Path
    port: int
    status: str

    @property
    def socket(self) -> Path:
        """The socket that clients connect to."""
        return self.sockets / f".s.PGSQL.{self.port}"


class Cluster(NamedTuple):
    """A data folder and the programs that serve it.

    Attributes:
        data: The folder that `initdb` makes.
        programs: The folder with `initdb`, `pg_ctl` and `postgres`.
        owner: The user it runs as; None: the user of this process.
    """

    data: Path
    programs: Path
    owner: Owner | None = None

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.data / "server.log"

    def tidy(self) -> None:
        """Remove what was left of a folder in the making; nobody makes one now."""
        for path in self.data.parent.glob(f"{self.data.name}.new-*"):
            shutil.rmtree(path, ignore_errors=True)

    def make(self) -> None:
        """Make the data folder, whole or not at all; there is none yet. Raises: StoreError."""
        unfinished = Path(tempfile.mkdtemp(prefix=f"{self.data.name}.new-", dir=self.data.parent))
        self.give(unfinished)
        self.run(
            *("initdb", "-D", str(unfinished), "-U", ROLE, "--auth-local=trust", "--auth-host=reject"),
            # Texts sort as bytes, as they do in SQLite.
            *("--encoding=UTF8", "--no-locale", "--no-instructions"),
        )
        # `initdb` cannot name a database; the server, alone in one process, can make one.
        statement = f"CREATE DATABASE {DATABASE}\n"
        self.run("postgres", "--single", "-D", str(unfinished), "postgres", text=statement)
        unfinished.rename(self.data)
        _sync(self.data.parent)

    def start(self, sockets: Path, *options: str, seconds: float = 60.0) -> Postmaster:
        """Start the server, or find it; return it when it takes connections.

        Args:
            sockets: The folder for its socket, which is there.
            options: Settings for this start: `fsync=off`.
            seconds: How long it may take; a recovery after a crash is part of it.

        Raises:
            StoreError: It cannot be started.
            StoreBusy: It took too long.
        """
        begin = clock.monotonic()
        while (passed := clock.monotonic() - begin) < seconds:
            if (found := look(self.data)) is not None:
                return found
            left = read_postmaster(self.data)
            if left is not None and is_alive(left, self.data):
                if left.status == "ready" and not left.socket.exists():
                    # Somebody removed its socket: nobody can reach it, and there cannot be a second.
                    self.stop()
                clock.sleep(0.05)
                continue
            if left is not None:
                disown(self.data, left)
            try:
                self._start_once(sockets, options, seconds)
            except StoreError as error:
                if passed > HELD_FOR or not any(word in line for word in HELD for line in error.details):
                    raise
                clock.sleep(0.25)
        raise StoreBusy(
            f"the PostgreSQL server in {self.data} is not ready after {seconds:g} s",
            hint=f"look at its log: {self.log}",
        )

    def _start_once(self, sockets: Path, options: tuple[str, ...], seconds: float) -> None:
        before = self.log.stat().st_size if self.log.exists() else 0
        if before > LONGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
            before = 0
        settings = (
            *(f"{name}={value}" for name, value in SETTINGS.items()),
            *options,
            _sign_of(self.data),
        )
        words = ["-k", str(sockets), *(word for setting in settings for word in ("-c", setting))]
        try:
            self.run(
                *("pg_ctl", "start", "-w", "-t", str(int(seconds)), "-s"),
                # It gives these two to a shell, in double quotes: a `$` in a folder's name would be lost.
                *("-D", self.data.name, "-l", f"{self.data.name}/{self.log.name}", "-o", shlex.join(words)),
                cwd=self.data.parent,
                seconds=seconds + 5.0,
            )
        except StoreError as error:
            details = _lines_from(self.log, before)
            raise StoreError(error.message, hint=f"its log: {self.log}", details=details) from error

    def stop(self, mode: str = "fast", *, seconds: float = 60.0) -> None:
        """Stop the server, if it runs, and wait for its end.

        Args:
            mode: `fast` ends connections in good order; `immediate` is as a crash.
            seconds: How long it may take.

        Raises:
            StoreError: It did not stop in time.
        """
        left = read_postmaster(self.data)
        if left is None or not is_alive(left, self.data):
            return
        self.run(
            *("pg_ctl", "stop", "-w", "-t", str(int(seconds)), "-s", "-m", mode, "-D", str(self.data)),
            seconds=seconds + 5.0,
        )

    def give(self, path: Path) -> None:
        """Make a folder the server's own."""
        if self.owner is not None:
            os.chown(path, self.owner.uid, self.owner.gid)
        path.chmod(0o700)

    def run(
        self, program: str, *arguments: str, text: str = "", cwd: Path = ROOT, seconds: float = 120.0
    ) -> str:
        """Run one of PostgreSQL's programs as the server's user; return its output. Raises: StoreError."""
        try:
            words = (str(self.programs / program), *arguments)
            done = run_as(self.owner, *words, text=text, cwd=cwd, seconds=seconds)
        except subprocess.TimeoutExpired as error:
            raise StoreBusy(f"{program} did not end within {seconds:g} s") from error
        except OSError as error:
            raise StoreError(f"cannot run {self.programs / program}: {error.strerror}") from error
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise StoreError(f"PostgreSQL's {program} failed: {' '.join(said[-3:])[:500]}")
        return done.stdout


def run_as(
    owner: Owner | None, *words: str, text: str = "", cwd: Path = ROOT, seconds: float = 120.0
) -> subprocess.CompletedProcess[str]:
    """Run a program in a clean environment. Raises: OSError, subprocess.TimeoutExpired."""
    # Of `PG…` nothing may come from the caller: PGPORT and PGDATA would change what the programs do.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return subprocess.run(
        words,
        user=None if owner is None else owner.uid,
        group=None if owner is None else owner.gid,
        extra_groups=None if owner is None else [],
        cwd=cwd,
        umask=0o077,
        env=environ | {"LC_ALL": "C"},
        input=text,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )


def url_of(found: Postmaster, database: str = DATABASE) -> str:
    """Return libpq's URL of a database."""
    return f"postgresql://{ROLE}@/{database}?host={quote(str(found.sockets))}&port={found.port}"


def look(data: Path) -> Postmaster | None:
    """Return the server of a data folder if it takes connections; starts no process."""
    found = read_postmaster(data)
    return found if found is not None and found.status == "ready" and answers(found) else None


def read_postmaster(data: Path) -> Postmaster | None:
    """Return what the pid file says; None if there is none, or not yet a whole one."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return Postmaster(int(lines[0]), Path(lines[4]), int(lines[3]), lines[7].strip())
    except (OSError, ValueError, IndexError):
        return None


def answers(found: Postmaster) -> bool:
    """Return whether somebody listens on the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5.0)
        try:
            client.connect(str(found.socket))
        except OSError as error:
            # Busy is not gone.
            return error.errno not in {errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR}
    return True


def is_alive(found: Postmaster, data: Path) -> bool:
    """Return whether the process in the pid file is this folder's server, not one with a number used anew."""
    try:
        os.kill(found.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        words = Path(f"/proc/{found.pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        # Without /proc there is no telling; a server with the same number would refuse to start beside it.
        return not Path("/proc/self").exists() or answers(found)
    return os.fsencode(_sign_of(data)) in words


def _sign_of(data: Path) -> str:
    """Return the word among a server's arguments that nobody else's process has."""
    return f"data_directory={data}"


def disown(data: Path, dead: Postmaster) -> None:
    """Let a dead server's files name no process: a number used anew would stop the next server.

    The pid file stays: by it the next server finds out whether parts of the dead one still live.
    """
    dead.socket.with_name(dead.socket.name + ".lock").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        # Root writes in a folder of another user here: no link may lead it elsewhere.
        fd = os.open(data / "postmaster.pid", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(fd, "r+b") as file:  # noqa: PTH123 - of a descriptor
            if os.fstat(fd).st_nlink == 1:
                rest = file.read().partition(b"\n")[2]
                file.seek(0)
                file.write(str(NO_PROCESS).encode() + b"\n" + rest)
                file.truncate()


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _lines_from(log: Path, offset: int) -> tuple[str, ...]:
    try:
        text = log.read_bytes()[offset:].decode(errors="replace")
    except OSError:
        return ()
    return tuple(text.strip().splitlines()[-5:])
