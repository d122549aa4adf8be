"""Where units of systemd come from: the files of a folder and of the drop-in folders in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cronq.errors import UsageError

if TYPE_CHECKING:
    from cronq.cli._session import Session
    from cronq.importing.found import Findings

_ENDINGS = (".timer", ".service")
_HINT = "such as ~/.config/systemd/user or /etc/systemd/system"


def read_folder(session: Session, source: str | None) -> Findings:
    """Return what the timers of a folder hold.

    Raises:
        UsageError: There is none, or it cannot be read.
    """
    from cronq.cli._crontabs import owner_of
    from cronq.importing.timers import Machine, jobs_of_timers

    if source is None:
        raise UsageError("no folder is named", hint=f"cronq import systemd DIR, {_HINT}")
    folder = Path(source).expanduser()
    folder = folder if folder.is_absolute() else session.environment.cwd() / folder
    if not folder.is_dir():
        raise UsageError(f"there is no directory {folder}", hint=_HINT)
    try:
        files = dict(_files(folder))
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}") from error
    if not any(name.endswith(".timer") for name in files):
        raise UsageError(f"{folder} holds no timers", hint=_HINT)
    is_user = folder.resolve().name == "user"
    return jobs_of_timers(files, source, Machine(session.tz(), owner_of(session), is_user))


def _files(folder: Path) -> list[tuple[str, bytes]]:
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.endswith(_ENDINGS) and not path.is_dir():
            found.append((path.name, path.read_bytes()))
        elif path.name.endswith(tuple(f"{ending}.d" for ending in _ENDINGS)) and path.is_dir():
            found += [(f"{path.name}/{one.name}", one.read_bytes()) for one in sorted(path.glob("*.conf"))]
    return found
