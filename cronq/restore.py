"""Putting a copy back into the ledger's place, while nobody works with the one that is there.

What ran since the copy was made is in no ledger afterwards. Run numbers are not given a second time all the
same: logs, lock files and left ends are named after them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from itertools import chain, count
from pathlib import Path

from cronq import clock, lock
from cronq.errors import SchedulerRunning, StoreBusy, UsageError
from cronq.model import AttemptKey, Micros
from cronq.store.backup import last_run_of, put_back
from cronq.store.location import Place, check_file_system, check_trust
from cronq.store.swapping import REPLACED, beside
from cronq.worker.liveness import is_attempt_alive, last_attempts, living_outside, living_workers

_WORKERS_LEAVE_S = 5.0
"""How long to wait for workers of a killed scheduler that have nothing to do: they leave at once."""


@contextlib.contextmanager
def nobody_at_work(place: Place) -> Iterator[None]:
    """Hold the one-scheduler lock; no scheduler runs, none can start, and nothing of an earlier one goes on.

    Raises:
        SchedulerRunning: One does.
        StoreBusy: Commands or workers of a killed one still run, or `cronq lock` does.
        StoreError: The lock cannot be taken.
    """
    with contextlib.suppress(OSError):
        place.database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        release = lock.hold(place.lock)
    except SchedulerRunning as error:
        raise SchedulerRunning(
            "a scheduler runs for this database",
            details=error.details,
            hint="stop it first; nothing was changed",
        ) from error
    try:
        _refuse_living(place)
        yield
    finally:
        release()


def _refuse_living(place: Place) -> None:
    alive = [
        f"#{keys[0][0]}" if keys else worker
        for worker, keys in last_attempts(place)
        if is_attempt_alive(place, keys[0] if keys else (0, 0), worker)
    ]
    if alive:
        numbers = ", ".join(sorted(alive))
        raise StoreBusy(
            f"commands of a scheduler that was killed still run: {numbers}",
            hint="wait for them, or let `cronq run` and `cronq cancel` end them; nothing was changed",
        )
    # What they hold is written in the database that would be replaced: others could take it at the same time.
    if outside := living_outside(place):
        raise StoreBusy(
            f"commands of `cronq lock` still run: {len(outside)} of them",
            hint="wait for it to end (`cronq lock` shows who it is); nothing was changed",
        )
    # One that was given a run just before the scheduler was killed begins with it all the same.
    patience_ends = clock.monotonic() + _WORKERS_LEAVE_S
    while workers := living_workers(place):
        if clock.monotonic() >= patience_ends:
            raise StoreBusy(
                f"workers of a scheduler that was killed still live: {', '.join(sorted(workers))}",
                hint="wait for them to end; nothing was changed",
            )
        clock.sleep(0.01)


def replace_database(place: Place, copy: Path, environ: Mapping[str, str], *, now: Micros) -> Path | None:
    """Put a copy in the place of the database, inside `nobody_at_work`; return where the old one is.

    Raises:
        UsageError: The copy is the database itself.
        StoreBusy: Somebody has begun to work with the database since.
        StoreError: The copy is unsound, or the place cannot be written or trusted.
    """
    if place.database.exists() and copy.samefile(place.database):
        raise UsageError(f"{copy} is the database itself", hint="name a copy of it")
    check_file_system(place, environ)
    check_trust(place, environ)
    _refuse_living(place)  # once more: a person may have thought about it for long
    above = max([last_run_of(place.database), _last_logged(place), *(run for run, _ in _attempts(place))])
    suffix = _free_suffix(place.database, now)
    return put_back(copy, place, above_run=above, suffix=suffix)


def _attempts(place: Place) -> list[AttemptKey]:
    """Return the attempts that a lock file names, or a left end."""
    parts = [path.name.split(".")[:2] for path in place.attempts.glob("*.end.*")]
    left = [(int(p[0]), int(p[1])) for p in parts if p[0].isdecimal() and p[1].isdecimal()]
    return [*left, *(key for _, keys in last_attempts(place) for key in keys)]


def _last_logged(place: Place) -> int:
    """Return the highest number of a run that has a log."""
    with contextlib.suppress(OSError, ValueError):
        folder = max(path for path in place.logs.iterdir() if path.name.isdecimal())
        return max(int(path.name.split(".")[0]) for path in folder.iterdir())
    return 0


def _free_suffix(database: Path, now: Micros) -> str:
    """Return what to put behind the name of the replaced database: the time, and a number if it is taken."""
    moment = f"{REPLACED}{clock.datetime_from_us(now):%Y%m%dT%H%M%S.%f}"[:-3] + "Z"
    numbered = (f"{moment}.{number}" for number in count(2))
    return next(one for one in chain((moment,), numbered) if not os.path.lexists(beside(database, one)))
