"""Where the database is, what belongs beside it, and whether it may be trusted.

Order: `--db` > `CRONQ_DB` > the nearest `.cronq/` from the working directory up to the home directory or a
border between file systems > `$STATE_DIRECTORY/cronq.db` (systemd) > `$XDG_DATA_HOME/cronq/cronq.db`.

A database is executable content: who can write it can run commands as you. So one that was merely found, or
that others can write, is refused until somebody says that it is theirs (compare git's `safe.directory`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cronq.errors import StoreError, StoreMissing, StoreUntrusted, UsageError

if TYPE_CHECKING:
    from cronq.store.postgres.address import Address

NETWORK_FILE_SYSTEMS = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ncpfs",
        "afs",
        "9p",
        "ceph",
        "lustre",
        "glusterfs",
        "fuse.sshfs",
    }
)
"""WAL needs memory shared between processes, which no network file system gives (sqlite.org/wal.html)."""

PROJECT_DIRECTORY = ".cronq"
DATABASE_NAME = "cronq.db"


@dataclass(frozen=True, slots=True)
class Place:
    """A database's resolved path and the files beside it.

    Attributes:
        rule: Which rule found it, in words for `cronq status`.
        found: It was found by walking up from the working directory, so it must be trusted explicitly.
        address: Of the server that holds the ledger; then `database` is the name of no file, and what is
            beside it belongs to this host alone. None: it is the file.
    """

    database: Path
    logs: Path
    rule: str
    found: bool = False
    address: Address | None = None

    @property
    def shown(self) -> str:
        """What people call it: the path of the file, or the address without secrets."""
        return str(self.database) if self.address is None else self.address.shown

    @property
    def lock(self) -> Path:
        """The one-scheduler lock."""
        return self._beside(".lock")

    @property
    def bell(self) -> Path:
        """The doorbell: a FIFO that the scheduler listens on."""
        return self._beside(".bell")

    @property
    def trust(self) -> Path:
        """Until when a node's workers may go on (`cronq.worker.trust`); only beside a server's ledger."""
        return self._beside(".trust")

    @property
    def caretaker(self) -> Path:
        """The lock of the process that looks after a seat; only beside a server's ledger."""
        return self._beside(".caretaker")

    @property
    def role(self) -> Path:
        """What the node that sits here does; only beside a server's ledger."""
        return self._beside(".role")

    @property
    def attempts(self) -> Path:
        """Folder of the lock files of workers and attempts."""
        return self._beside(".attempts")

    def log_file(self, run_id: int, attempt: int) -> Path:
        """Return where the output of an attempt goes; a thousand runs to a folder."""
        return Path(f"{self.logs}/{run_id // 1000:06d}/{run_id}.{attempt}.log")  # at once: asked for each run

    def _beside(self, suffix: str) -> Path:
        return self.database.with_name(self.database.name + suffix)


def find_place(explicit: str | None, environ: Mapping[str, str], cwd: Path) -> Place:
    """Return the place of the database by the order above, whether or not it exists.

    Args:
        explicit: Value of `--db`.
        environ: The environment; `HOME` decides where the walk ends.
        cwd: Where the walk starts.

    Raises:
        UsageError: A path is empty, or is that of a folder.
    """
    if explicit is not None:
        return named_place(explicit, cwd, "--db", environ)
    if environ.get("CRONQ_DB"):
        return named_place(environ["CRONQ_DB"], cwd, "CRONQ_DB", environ)
    project = _nearest_project(cwd, Path(environ["HOME"]) if environ.get("HOME") else None)
    if project is not None:
        return Place(project / DATABASE_NAME, project / "logs", f"nearest {PROJECT_DIRECTORY}", found=True)
    if environ.get("STATE_DIRECTORY"):
        # systemd may list several, separated by colons: systemd.exec(5)
        state = Path(environ["STATE_DIRECTORY"].split(":")[0])
        return Place(state / DATABASE_NAME, state / "logs", "STATE_DIRECTORY")
    return _user_place(environ)


def named_place(text: str, cwd: Path, rule: str, environ: Mapping[str, str]) -> Place:
    """Return the place that somebody named: the path of a file, or the address of a server.

    Args:
        text: As it was typed.
        cwd: What a path is relative to.
        rule: Where it was typed, for messages.
        environ: Says where a server's files on this host are.

    Raises:
        UsageError: It is neither.
    """
    if text.startswith(("postgresql:", "postgres:", "postgresql+embedded")):
        from cronq.store.postgres.location import server_place

        return server_place(text, rule, environ)
    if "://" in text:
        # Never repeated: it may hold a password.
        raise UsageError(
            f"{rule} is neither the path of a file nor the address of a PostgreSQL server",
            hint="an address begins with postgresql://",
        )
    return _at_path(text, cwd, rule)


def _at_path(text: str, cwd: Path, rule: str) -> Place:
    if not text:
        raise UsageError(f"{rule} is empty", hint="give the path of a database file")
    # Resolved, so that two paths to one file share one lock.
    try:
        path = (cwd / Path(text).expanduser()).resolve()
    except (RuntimeError, ValueError) as error:  # no such user's home, links in a circle, a NUL character
        raise UsageError(f"{rule} is not the path of a file: {error}") from error
    if os.path.isdir(path):  # noqa: PTH112 - False, not an error, where nothing can be looked at
        raise UsageError(f"{rule} names a folder: {path}", hint=f"try {path / DATABASE_NAME}")
    return Place(path, path.with_name(path.name + ".logs"), rule)


def _user_place(environ: Mapping[str, str]) -> Place:
    home = Path(environ.get("HOME") or "~").expanduser()
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    state = Path(environ.get("XDG_STATE_HOME") or home / ".local" / "state")
    database = data / "cronq" / DATABASE_NAME
    return Place(database.resolve(), (state / "cronq" / "logs").resolve(), "user default")


def _nearest_project(cwd: Path, home: Path | None) -> Path | None:
    try:
        device = cwd.stat().st_dev
        home = None if home is None else home.resolve()  # as the working directory is
        for directory in (cwd, *cwd.parents):
            if directory.stat().st_dev != device:
                return None
            candidate = directory / PROJECT_DIRECTORY
            if candidate.is_dir():
                return candidate.resolve()
            if home is not None and directory == home:
                return None
    except OSError:
        return None
    return None


def require_database(place: Place) -> None:
    """Raise StoreMissing unless there is a database file at the place."""
    try:
        exists = place.database.exists()
    except OSError as error:
        raise StoreError(f"cannot look for {place.database}: {error.strerror}") from error
    if not exists:
        raise StoreMissing(
            f"there is no database at {place.database}",
            hint="the first `cronq add` creates it",
        )


def check_trust(place: Place, environ: Mapping[str, str]) -> None:
    """Raise StoreUntrusted unless nobody else could have written the database.

    The database and its folder must belong to this user (or root) and must not be writable by others. A
    database that was found by walking up must be in the list of trusted ones.
    """
    database = place.database
    # The folder alone while there is no database yet: none is made where it would be refused.
    for path in (database, database.parent) if database.exists() else (database.parent,):
        info = path.stat()
        if info.st_uid not in {os.geteuid(), 0}:
            owner = _user_name(info.st_uid)
            raise StoreUntrusted(
                f"{path} belongs to {owner}, not to you",
                hint=f"if it is yours: sudo chown {_user_name(os.geteuid())} {path}",
            )
        if _writable_by_others(info):
            raise StoreUntrusted(
                f"{path} can be written by other users",
                hint=f"if you trust what is in it: chmod go-w {path}",
            )
    _check_companions(place)
    if place.found and str(database.parent) not in trusted_projects(environ):
        raise StoreUntrusted(
            f"{database.parent} was found from the working directory, and is not trusted yet",
            hint=f"if it is yours: cronq init {database.parent.parent}",
        )


def _check_companions(place: Place) -> None:
    """Refuse what somebody else could have put beside the database.

    In a sticky folder such as /tmp others cannot replace the file, but they can add one: a write-ahead log
    is believed as much as the database itself, and who may delete lock files can have runs started twice.
    """
    logs = [place.database.with_name(place.database.name + suffix) for suffix in ("-wal", "-shm", "-journal")]
    for path in (*logs, place.attempts, place.logs):
        try:
            info = path.lstat()
        except OSError:
            continue
        is_right = stat.S_ISDIR if path in {place.attempts, place.logs} else stat.S_ISREG
        others_write = info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not is_right(info.st_mode) or info.st_uid not in {os.geteuid(), 0} or others_write:
            raise StoreUntrusted(
                f"{path} is not yours alone; somebody may have planted it",
                hint="look at it, and remove it; better keep the database in a folder of your own",
            )


def _writable_by_others(info: os.stat_result) -> bool:
    if not stat.S_ISDIR(info.st_mode):
        return bool(info.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    if info.st_mode & stat.S_ISVTX:
        return False  # as /tmp: others may add files, but not replace ours
    # A folder of one's own group is common (umask 002 with a group per user).
    foreign_group = info.st_mode & stat.S_IWGRP and info.st_gid != os.getegid()
    return bool(info.st_mode & stat.S_IWOTH or foreign_group)


def check_file_system(
    place: Place, environ: Mapping[str, str], *, mounts: Path = Path("/proc/self/mountinfo")
) -> None:
    """Raise StoreError if the database would live on a network file system; `mounts` is in proc(5)."""
    if environ.get("CRONQ_DB_ALLOW_NETWORK"):
        return
    kind = _file_system(place.database.parent, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        raise StoreError(
            f"{place.database.parent} is on a network file system ({kind}), where SQLite's locks do not hold",
            hint="put the database on a local disk, or set CRONQ_DB_ALLOW_NETWORK=1 if only one host uses it",
        )


def _file_system(directory: Path, mounts: Path) -> str | None:
    """Return the type of the file system; None where that is not to be had."""
    try:
        device = directory.stat().st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        with mounts.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                before, _, after = line.partition(" - ")
                if before.split()[2] == number:
                    return after.split()[0]
    except (OSError, IndexError):
        return None
    return None


def trusted_projects(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the project folders (`.../.cronq`) that this user has accepted."""
    try:
        lines = os.fsdecode(_trust_file(environ).read_bytes()).split("\n")
    except OSError:
        return frozenset()
    return frozenset(line for line in lines if line)


def trust_project(project: Path, environ: Mapping[str, str]) -> None:
    """Accept a project folder; idempotent. Raises: UsageError, if its name would look like two."""
    if "\n" in str(project):
        raise UsageError("the name of the folder holds a line break", hint="rename it")
    if str(project) in trusted_projects(environ):
        return
    path = _trust_file(environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(os.fsencode(f"{project}\n"))


def _trust_file(environ: Mapping[str, str]) -> Path:
    home = Path(environ.get("HOME") or "~").expanduser()
    return Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "cronq" / "trusted"


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
