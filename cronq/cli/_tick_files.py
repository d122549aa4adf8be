"""The files that a tick leaves for an upload: the report, and what the jobs printed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cronq.errors import StoreFull
from cronq.keeping import Draft
from cronq.report.cases import Tick
from cronq.worker.environment import secrets_now
from cronq.worker.files import make_folder

if TYPE_CHECKING:
    from cronq.cli._session import Session
    from cronq.cli._tick import Asked
    from cronq.masking import Masker
    from cronq.model import Run
    from cronq.store.sqlite_tick import TickStore

_PIECE = 256 * 1024


def write_files(
    session: Session, store: TickStore | None, asked: Asked, tick: Tick, runs: Iterable[Run]
) -> bool:
    """Write what was asked for; what cannot be written is told, and then the answer is False.

    Args:
        session: Of the command.
        store: Knows the definitions; None: there are no runs.
        asked: Where to.
        tick: What was done.
        runs: Whose logs are copied.
    """
    try:
        if asked.junit is not None:
            from cronq.report.junit import junit

            Draft(asked.junit.resolve(), junit(tick), "the report").put()
        if asked.logs is not None:
            make_folder(asked.logs)
            if not asked.logs.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "it is no folder")
            if store is not None:
                for run in runs:
                    _copy_logs(session, store, run, asked.logs)
    except StoreFull as error:
        session.warn(error.message)
        return False
    except OSError as error:
        session.warn(f"the logs cannot be copied to {asked.logs}: {error.strerror}")
        return False
    return True


def _copy_logs(session: Session, store: TickStore, run: Run, folder: Path) -> None:
    if not run.attempt:
        return
    definition = store.definition(run.job_id, run.revision)
    masker = secrets_now(definition, session.environment.environ)
    for attempt in range(1, run.attempt + 1):
        source = session.place.log_file(run.id, attempt)
        # Without the folders of the ledger: people look for the name of a job. It holds no slash.
        _copy(source, folder / f"{run.job}.{run.id}.{attempt}.log", masker)


def _copy(source: Path, target: Path, masker: Masker) -> None:
    """Copy a log without the secrets in it, for this user alone; one that is not there is passed over."""
    try:
        reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    stream = masker.stream()
    with os.fdopen(reading, "rb") as log:
        target.unlink(missing_ok=True)
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(writing, "wb") as copy:
            while piece := log.read(_PIECE):
                copy.write(stream.feed(piece))
            copy.write(stream.flush())
