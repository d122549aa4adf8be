"""Where a crontab comes from: a file, standard input, or `crontab -l`; and what is known of its owner."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cronq.errors import UsageError
from cronq.render.text import plain

if TYPE_CHECKING:
    from cronq.cli._session import Session
    from cronq.importing.crontab_jobs import Owner
    from cronq.importing.found import Findings

MOST_BYTES = 16 * 1024 * 1024
_FORMS = "cronq import crontab FILE, - for standard input, or --user for your own"


def read_source(session: Session, source: str | None, *, user: bool, system: bool, policies: str) -> Findings:
    """Return what a crontab holds.

    Args:
        session: Whose directory, streams and user apply.
        source: The file, or `-`.
        user: Take that of this user instead.
        system: Its sixth field is a user, whatever its name.
        policies: `cron` or `cronq`: whose ways with overlapping and missed runs are taken.

    Raises:
        UsageError: There is none, or it cannot be read.
    """
    from cronq.importing.crontab_jobs import jobs_of_crontab

    if user and source is not None:
        raise UsageError(f"--user and `{plain(source)}` contradict each other", hint=_FORMS)
    if user and system:
        raise UsageError(
            "--user and --system contradict each other", hint="a crontab of a user names no users"
        )
    if user:
        data, label = _own(session), "crontab"
    elif source is None:
        raise UsageError("no crontab is named", hint=_FORMS)
    elif source == "-":
        data, label = _standard_input(session), "-"
    else:
        path = Path(source).expanduser()
        path = path if path.is_absolute() else session.environment.cwd() / path
        data, label = _file(path), source
        system = system or is_system(path)
    return jobs_of_crontab(
        data,
        label,
        has_users=system,
        tz=session.tz(),
        owner=owner_of(session),
        keeps_policies=policies == "cron",
    )


def is_system(path: Path) -> bool:
    """Return whether a file is a system crontab by its place."""
    return path == Path("/etc/crontab") or path.parent == Path("/etc/cron.d")


def owner_of(session: Session) -> Owner:
    """Return who imports, and what is known of the users of this machine."""
    from cronq.importing.crontab_jobs import Owner

    name, home = _account(os.getuid())
    return Owner(name, session.environment.environ.get("HOME") or home, home_of)


def _account(uid: int) -> tuple[str, str]:
    import pwd

    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return "", "/"
    return entry.pw_name, entry.pw_dir


def home_of(user: str) -> str | None:
    """Return the home of a user; None: there is no such user."""
    import pwd

    try:
        return pwd.getpwnam(user).pw_dir
    except (KeyError, ValueError):
        return None


def _file(path: Path) -> bytes:
    if path.is_dir():
        raise UsageError(f"{path} is a directory", hint="name one of its files")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path} is larger than {MOST_BYTES // 1024**2} MiB")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _standard_input(session: Session) -> bytes:
    stream = session.environment.stdin
    if stream is None:
        raise UsageError("there is no standard input")
    raw = getattr(stream, "buffer", None)
    return raw.read() if raw is not None else stream.read().encode()


def _own(session: Session) -> bytes:
    import subprocess

    try:
        done = subprocess.run(
            ["crontab", "-l"],  # noqa: S607 - which cron it is, PATH says
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=dict(session.environment.environ),
            check=False,
        )
    except OSError as error:
        raise UsageError(
            f"`crontab -l` cannot be run: {error.strerror}", hint="name the file: cronq import crontab FILE"
        ) from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UsageError(f"`crontab -l` failed: {plain(said[-1]) if said else f'exit {done.returncode}'}")
    return done.stdout
