"""Logs on this host of runs that another one has removed from the ledger.

Dies: at any line. What is left goes the next time.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from cronq.errors import StoreFull
from cronq.pruning import Pruned, Steps
from cronq.store import Place

if TYPE_CHECKING:
    from cronq.store.postgres.store import PostgresStore

_FOLDER = re.compile(r"\d{6,}")
_LOG = re.compile(r"(\d+)\.\d+\.(?:log|draft)")


def remove_leftovers(store: PostgresStore, place: Place) -> Steps:
    """Remove logs without a run, a folder a step; what is newer than the newest run is none of these.

    Raises:
        StoreError: The store fails, or a log cannot be removed.
    """
    try:
        names = sorted(path.name for path in place.logs.iterdir() if _FOLDER.fullmatch(path.name))
    except FileNotFoundError:
        return
    for name in names:
        yield Pruned(0, _remove_in(store, place, int(name) * 1000))


def _remove_in(store: PostgresStore, place: Place, first_id: int) -> int:
    folder = place.log_file(first_id, 1).parent
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := _LOG.fullmatch(path.name))]
    # After the files: a run is there before it has a log.
    known, newest = store.runs_between(first_id, first_id + 999)
    freed = 0
    for run_id, path in found:
        if run_id in known or run_id > newest:
            continue
        try:
            freed += path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreFull(f"cannot remove {path}: {error.strerror}") from error
    if newest > first_id + 999 and not known:
        with contextlib.suppress(OSError):
            folder.rmdir()
    return freed
