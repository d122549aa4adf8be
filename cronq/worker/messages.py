"""What scheduler and workers tell each other; starts and ends of attempts go as they are.

They travel as pickles over a pipe that only these two hold.
"""

from __future__ import annotations

import pickle
from typing import NamedTuple

from cronq.model import AttemptEnd, AttemptKey, AttemptStart, Claim
from cronq.store.location import Place


class WorkerSetup(NamedTuple):
    """All that a worker is told before it starts.

    Attributes:
        most_attempts: After so many it leaves, to be replaced by a fresh one.
    """

    name: str
    place: Place
    boot_id: str
    open_files: int
    most_attempts: int


class Execute(NamedTuple):
    """To a worker: execute this attempt.

    Attributes:
        acknowledged: The end of this attempt is in the store, too; one message wakes a worker only once.
    """

    claim: Claim
    acknowledged: AttemptKey | None = None


class Acknowledged(NamedTuple):
    """To a worker: the end of this attempt is in the store."""

    key: AttemptKey


class Stop(NamedTuple):
    """To a worker: stop this attempt, by the ladder, or with `at_once` by its last step."""

    key: AttemptKey
    reason: str
    at_once: bool = False


class Leave(NamedTuple):
    """To a worker: nothing more will come."""


class Ready(NamedTuple):
    """A worker waits for its first claim."""

    worker: str


class Leaving(NamedTuple):
    """A worker takes no further claim: it leaves when the end in its hands is acknowledged."""


ToWorker = Execute | Acknowledged | Stop | Leave
FromWorker = Ready | Leaving | AttemptStart | AttemptEnd


def encode(message: ToWorker | FromWorker) -> bytes:
    """Return what goes over the pipe; a third of the cost of `Connection.send`."""
    return pickle.dumps(message, pickle.HIGHEST_PROTOCOL)


def decode_to_worker(data: bytes) -> ToWorker:
    """Return a message of the scheduler."""
    message: ToWorker = pickle.loads(data)  # noqa: S301 - from the one process at the other end
    return message


def decode_from_worker(data: bytes) -> FromWorker:
    """Return a message of a worker."""
    message: FromWorker = pickle.loads(data)  # noqa: S301 - as above
    return message
