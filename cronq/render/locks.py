"""Named locks in words: what a job waits for, and who has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cronq.render.text import plain

if TYPE_CHECKING:
    from cronq.store.base import LockState


def waited_for(job: str, locks: Sequence[LockState]) -> list[LockState]:
    """Return the locks that a queued run of a job waits for."""
    return [
        lock for lock in locks if any(user.run_id is not None and user.label == job for user in lock.waiting)
    ]


def lock_words(lock: LockState) -> str:
    """Return `db (backup #12)`: a lock, and who holds it."""
    by = ", ".join(plain(u.label if u.run_id is None else f"{u.label} #{u.run_id}") for u in lock.holders)
    return f"{lock.name} ({by})" if by else lock.name
