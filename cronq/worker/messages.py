"""What scheduler and workers tell each other; starts and ends of attempts go as they are.

They travel as pickles over a pipe that only these two hold.
"""

from __future__ import annotations

import copyreg
import pickle
from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from cronq.model import (
    AttemptEnd,
    AttemptKey,
    AttemptStart,
    Claim,
    Command,
    Definition,
    Run,
    Usage,
)
from cronq.store.location import Place


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """All that a worker is told before it starts."""

    name: str
    place: Place
    boot_id: str


@dataclass(frozen=True, slots=True)
class Execute:
    """To a worker: execute this attempt."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """To a worker: the end of this attempt is in the store."""

    key: AttemptKey


@dataclass(frozen=True, slots=True)
class Stop:
    """To a worker: stop this attempt, by the ladder, or with `at_once` by its last step."""

    key: AttemptKey
    reason: str
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Leave:
    """To a worker: nothing more will come."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker waits for its first claim."""

    worker: str


@dataclass(frozen=True, slots=True)
class Leaving:
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


def _reducer(cls: type[Any]) -> Callable[[Any], tuple[Any, ...]]:
    names = [item.name for item in fields(cls)]
    values = attrgetter(*names)
    if len(names) == 1:
        return lambda message: (cls, (values(message),))
    return lambda message: (cls, values(message))


# The generic pickling of frozen dataclasses with slots asks for the fields again each time; by position it
# takes half as long, and each attempt is four messages.
for _cls in (
    *(AttemptEnd, AttemptStart, Claim, Command, Definition, Run, Usage),
    *(Execute, Acknowledged, Stop, Leave, Ready),
):
    if fields(_cls):
        copyreg.pickle(_cls, _reducer(_cls))
