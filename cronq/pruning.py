"""Retention carried out: remove the finished runs of jobs, and their logs, in short steps.

A step looks at a page of runs or removes a batch of them, in milliseconds, so that a scheduler can do other
things between two, and no other writer waits for long. Within a job the oldest go first.

Dies: at any line. Logs go before their rows: what is left is a row without a log, and it goes the next time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cronq.errors import StoreFull
from cronq.model import SECOND, Micros
from cronq.retention import TOMBSTONE_S, Keep, Row, beyond_size, edge_of, parse_keep, surplus
from cronq.store import JobHistory, Place, Store

BATCH = 100
"""Runs that are removed in one transaction."""
LOOKED_AT = 5_000
"""Runs that one step passes over to find how far a number of runs reaches."""
MEASURED = 500
"""Runs whose logs are measured in one step."""

_NO_END = 2**62
_BLOCK = 512
"""Unit of `st_blocks`: stat(2)."""


class Pruned(NamedTuple):
    """What a step removed.

    Attributes:
        size: Bytes that its logs took on the disk.
    """

    runs: int = 0
    size: int = 0

    def __add__(self, other: object) -> Pruned:
        """Return both together."""
        if not isinstance(other, Pruned):
            return NotImplemented
        return Pruned(self.runs + other.runs, self.size + other.size)


Steps = Iterator[Pruned]
_Search = Generator[Pruned, None, int | None]


def prune_kept(store: Store, place: Place, history: JobHistory, now: Micros) -> Steps:
    """Apply a job's own limits, as long as it has them; remove its tombstone if nothing is left to tell.

    Raises:
        CronqError: Its limits cannot be read, or the store fails.
    """
    keep = parse_keep(history.keep or "")
    for step in prune(store, place, history, keep, now):
        yield step
        if store.kept_jobs(after=history.id - 1, limit=1) != [history]:
            return  # changed meanwhile: what is beyond the new limits is for the next time
    if _is_over(history, now):
        store.forget_job(history.id)


def prune(
    store: Store,
    place: Place,
    history: JobHistory,
    keep: Keep,
    now: Micros,
    *,
    only_count: bool = False,
) -> Steps:
    """Remove the runs of a job that are beyond limits, step by step.

    Args:
        store: Of the job.
        place: Of the logs.
        history: The job, removed or not.
        keep: The limits.
        now: When it is.
        only_count: Change nothing, and yield what would be removed.

    Raises:
        StoreError: The store fails, or a log cannot be removed, and then its row stays.
    """
    beyond: list[int | None] = []
    if keep.runs is not None:
        beyond.append((yield from _beyond_runs(store, history.id, keep.runs)))
    if keep.size is not None:
        beyond.append((yield from _beyond_size(store, place, history.id, keep.size)))
    edge = edge_of(keep, now, beyond=beyond)
    spared = frozenset[int]() if _is_over(history, now) else store.spared_runs(history.id)
    after_id, is_last = 0, not edge
    while not is_last:
        page = store.oldest_runs(history.id, after_id=after_id, limit=BATCH)
        going, is_last = surplus(edge, page, spared)
        if len(page) < BATCH:
            is_last = True
        else:
            after_id = page[-1].id
        if only_count:
            yield _counted(place, going)
        else:
            yield _removed(store, place, history, going) if going else Pruned()


def _is_over(history: JobHistory, now: Micros) -> bool:
    return history.removed_at is not None and history.removed_at < now - round(TOMBSTONE_S * SECOND)


def _beyond_runs(store: Store, job_id: int, limit: int) -> _Search:
    """Find, and return, the newest run that a number of runs leaves no room for."""
    before_id = _NO_END
    while limit > LOOKED_AT:
        passed = store.nth_done(job_id, LOOKED_AT - 1, before_id=before_id)
        if passed is None:
            return None
        before_id = passed
        limit -= LOOKED_AT
        yield Pruned()
    return store.nth_done(job_id, limit, before_id=before_id)


def _beyond_size(store: Store, place: Place, job_id: int, limit: int) -> _Search:
    """Find, and return, the newest run whose log a size leaves no room for."""
    before_id, spent = _NO_END, 0
    while page := store.logged_runs(job_id, before_id=before_id, limit=MEASURED):
        sizes = ((run_id, _size(place, run_id, attempts)) for run_id, attempts in page)
        found, spent = beyond_size(limit, sizes, spent)
        if found is not None:
            return found
        before_id = page[-1][0]
        yield Pruned()
    return None


def _counted(place: Place, rows: Sequence[Row]) -> Pruned:
    return Pruned(len(rows), sum(_size(place, row.id, row.attempts) for row in rows))


def _removed(store: Store, place: Place, history: JobHistory, rows: Sequence[Row]) -> Pruned:
    going, freed = [], 0
    failure: OSError | None = None
    for row in rows:
        try:
            freed += _remove_logs(place, row)
        except OSError as error:
            # Without its row nobody would ever know of the log.
            failure = error
            break
        going.append(row.id)
    removed = store.prune(history.id, going) if going else 0
    _remove_folders(store, place, going)
    if failure is not None:
        raise StoreFull(f"cannot remove {failure.filename}: {failure.strerror}")
    return Pruned(removed, freed)


def _logs(place: Place, run_id: int, attempts: int) -> Iterator[Path]:
    return (place.log_file(run_id, attempt) for attempt in range(1, attempts + 1))


def _size(place: Place, run_id: int, attempts: int) -> int:
    """Return what the logs of a run take on the disk, which is less than their length if there are holes."""
    size = 0
    for path in _logs(place, run_id, attempts):
        with contextlib.suppress(OSError):
            size += path.stat().st_blocks * _BLOCK
    return size


def _remove_logs(place: Place, row: Row) -> int:
    freed = _size(place, row.id, row.attempts)
    for path in _logs(place, row.id, row.attempts):
        path.unlink(missing_ok=True)
    return freed


def _remove_folders(store: Store, place: Place, run_ids: Sequence[int]) -> None:
    """Remove the folders that these runs leave empty, if no run can ever need them again."""
    for thousand in {run_id // 1000 for run_id in run_ids}:
        if not store.needs_logs_of(thousand * 1000, thousand * 1000 + 999):
            with contextlib.suppress(OSError):
                place.log_file(thousand * 1000, 1).parent.rmdir()
