"""What scheduler and workers tell each other, over a pipe that only these two hold.

What is sent for each attempt, its claim and its end, goes as a tuple of plain values (marshal(3)): a tenth of
what pickling the records costs. A definition is pickled once, and unpickled once by each worker.
"""

from __future__ import annotations

import contextlib
import marshal
import pickle
from pathlib import Path
from typing import Any, NamedTuple

from cronq.model import (
    AttemptEnd,
    AttemptKey,
    Claim,
    Definition,
    Outcome,
    Run,
    State,
    Trigger,
    Usage,
)
from cronq.store.location import Place

_DEFINITIONS_KEPT = 1024


class WorkerSetup(NamedTuple):
    """All that a worker is told before it starts.

    Attributes:
        most_attempts: After so many it leaves, to be replaced by a fresh one.
        trust: The file that says how long its attempts may run; None: as long as they like.
    """

    name: str
    place: Place
    boot_id: str
    open_files: int
    most_attempts: int
    trust: Path | None = None


class Execute(NamedTuple):
    """To a worker: execute this attempt.

    Attributes:
        acknowledged: The ends of these are in the store, too; one message wakes a worker only once.
        ticket: The worker is busy, and begins with this one next if it gets the ticket; None: at once.
    """

    claim: Claim
    acknowledged: tuple[AttemptKey, ...] = ()
    ticket: int | None = None


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
FromWorker = Ready | Leaving | AttemptEnd


_EXECUTE, _END, _OTHER = b"x", b"e", b"o"
_pickled: dict[Definition, bytes] = {}
_unpickled: dict[bytes, Definition] = {}


def encode(message: ToWorker | FromWorker) -> bytes:
    """Return what goes over the pipe; a third of the cost of `Connection.send`, or much less."""
    # ValueError: a value of some subclass, which only a pickle keeps.
    with contextlib.suppress(ValueError):
        if isinstance(message, Execute):
            return _EXECUTE + _plain_execute(message)
        if isinstance(message, AttemptEnd):
            return _END + _plain_end(message)
    return _OTHER + pickle.dumps(message, pickle.HIGHEST_PROTOCOL)


def decode_to_worker(data: bytes) -> ToWorker:
    """Return a message of the scheduler."""
    if data[:1] == _EXECUTE:
        return _execute_from(data)
    message: ToWorker = pickle.loads(data[1:])  # noqa: S301 - from the one process at the other end
    return message


def decode_from_worker(data: bytes) -> FromWorker:
    """Return a message of a worker."""
    if data[:1] == _END:
        return _end_from(data)
    message: FromWorker = pickle.loads(data[1:])  # noqa: S301 - as above
    return message


def _plain_execute(message: Execute) -> bytes:
    claim = message.claim
    run = claim.run
    values: list[Any] = [*run]
    values[_TRIGGER] = run.trigger.value
    values[_STATE] = run.state.value
    values[_RUN_OUTCOME] = None if run.outcome is None else run.outcome.value
    rest = (claim.worker, claim.claimed_at, claim.last_success_at)
    about = (message.acknowledged, message.ticket)
    return marshal.dumps((values, _definition_bytes(claim.definition), rest, about))


def _execute_from(data: bytes) -> Execute:
    values, definition, rest, about = marshal.loads(memoryview(data)[1:])  # noqa: S302 - as above
    values[_TRIGGER] = Trigger(values[_TRIGGER])
    values[_STATE] = State(values[_STATE])
    values[_RUN_OUTCOME] = None if values[_RUN_OUTCOME] is None else Outcome(values[_RUN_OUTCOME])
    return Execute(Claim(Run(*values), _definition_from(definition), *rest), *about)


def _plain_end(end: AttemptEnd) -> bytes:
    values: list[Any] = [*end]
    values[_END_OUTCOME] = end.outcome.value
    values[_USAGE] = None if end.usage is None else tuple(end.usage)
    return marshal.dumps(values)


def _end_from(data: bytes) -> AttemptEnd:
    values = marshal.loads(memoryview(data)[1:])  # noqa: S302 - as above
    values[_END_OUTCOME] = Outcome(values[_END_OUTCOME])
    values[_USAGE] = None if values[_USAGE] is None else Usage(*values[_USAGE])
    return AttemptEnd(*values)


def _definition_bytes(definition: Definition) -> bytes:
    found = _pickled.get(definition)
    if found is None:
        if len(_pickled) >= _DEFINITIONS_KEPT:
            _pickled.clear()
        found = _pickled[definition] = pickle.dumps(definition, pickle.HIGHEST_PROTOCOL)
    return found


def _definition_from(data: bytes) -> Definition:
    found = _unpickled.get(data)
    if found is None:
        if len(_unpickled) >= _DEFINITIONS_KEPT:
            _unpickled.clear()
        found = _unpickled[data] = pickle.loads(data)  # noqa: S301 - as above
    return found


_TRIGGER, _STATE, _RUN_OUTCOME = (Run._fields.index(name) for name in ("trigger", "state", "outcome"))
_END_OUTCOME, _USAGE = (AttemptEnd._fields.index(name) for name in ("outcome", "usage"))
