"""Ends that a worker could not write into the store: files that wait for the next scheduler."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from cronq.model import AttemptEnd, AttemptKey, Outcome, Usage
from cronq.store.location import Place
from cronq.worker.files import open_private
from cronq.worker.liveness import says_free


def _document(end: AttemptEnd) -> dict[str, object]:
    return {**end._asdict(), "usage": end.usage and end.usage._asdict()}


def end_file(place: Place, key: AttemptKey) -> Path:
    """Return where the end of an attempt waits."""
    return place.attempts / f"{key[0]}.{key[1]}.end.json"


def leave_end(place: Place, end: AttemptEnd) -> None:
    """Write an end to its file.

    Dies: The file is renamed into place when it is complete, so there is a whole one or none.

    Raises:
        OSError: It cannot be written.
    """
    path = end_file(place, end.key)
    draft = path.with_suffix(".draft")
    fd = open_private(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        # Buffered: it goes on after a short write, which is all that a full disk says at first.
        with os.fdopen(fd, "wb") as file:
            file.write(json.dumps(_document(end)).encode())
            file.flush()
            os.fsync(fd)
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def read_left_ends(place: Place) -> list[AttemptEnd]:
    """Return all ends that wait, by run and attempt; files that make no sense are passed over.

    They are fenced like any other, so recording one twice, or too late, does no harm. `remove_left_end`
    follows when they are recorded.
    """
    found: list[AttemptEnd] = []
    for path in place.attempts.glob("*.end.json"):
        with contextlib.suppress(OSError):
            end = read_left_end(path)
            if end is not None:
                found.append(end)
    return sorted(found, key=lambda end: end.key)


def read_left_end(path: Path) -> AttemptEnd | None:
    """Return the end in a file; None if there is none.

    Raises:
        OSError: It cannot be read now.
    """
    try:
        fd = open_private(path, os.O_RDONLY)
    except OSError as error:
        if says_free(error):
            return None
        raise
    try:
        with os.fdopen(fd, "rb") as file:
            return _end_from(json.load(file))
    except (ValueError, TypeError, KeyError):
        return None


def remove_left_end(place: Place, key: AttemptKey) -> None:
    """Remove the file of an end that is in the store; without effect if there is none."""
    with contextlib.suppress(OSError):
        end_file(place, key).unlink()


def _end_from(values: dict[str, Any]) -> AttemptEnd:
    usage = values.pop("usage")
    run_id, attempt = values.pop("key")
    return AttemptEnd(
        (int(run_id), int(attempt)),
        Outcome(values.pop("outcome")),
        survivors=tuple(values.pop("survivors")),
        usage=None if usage is None else Usage(**usage),
        **values,
    )
