"""What goes over the pipe comes out as it went in, whatever is in it."""

from __future__ import annotations

import signal

import pytest

from cronq.model import AttemptEnd, Definition, Outcome, Run, State, Trigger, Usage
from cronq.worker import messages
from cronq.worker.messages import (
    Acknowledged,
    Execute,
    Leave,
    Leaving,
    Ready,
    Stop,
    decode_from_worker,
    decode_to_worker,
    encode,
)
from tests.unit.worker.rig import claim_of, shell

CLAIM = claim_of(
    shell("echo ü \udcff", env=(("A", "b"),), success_codes=(0, 3), timeout_s=1.5),
    trigger=Trigger.CATCH_UP,
    outcome=Outcome.ABANDONED,
    last_fire_at=2**60,
    reason="\udcff",
)
END = AttemptEnd(
    (2**40, 3),
    Outcome.TIMEOUT,
    99,
    "y",
    50,
    77,
    None,
    9,
    Usage(1.5, 0.25, 0.125, 4096),
    200,
    True,
    ("1 a",),
    5,
)


@pytest.mark.parametrize(
    "message",
    [
        Execute(CLAIM),
        Execute(CLAIM._replace(last_success_at=7), ((1, 2), (3, 1)), 255),
        Acknowledged((1, 2)),
        Stop((1, 2), "enough", True),
        Leave(),
    ],
)
def test_message_to_a_worker_is_the_same_there(message: messages.ToWorker) -> None:
    found = decode_to_worker(encode(message))
    assert found == message
    assert type(found) is type(message)


@pytest.mark.parametrize(
    "message",
    [
        Ready("w"),
        Leaving(),
        END,
        END._replace(usage=None, survivors=(), retry_at=None),
        END._replace(signal=signal.SIGKILL),
    ],
)
def test_message_from_a_worker_is_the_same_here(message: messages.FromWorker) -> None:
    found = decode_from_worker(encode(message))
    assert found == message
    assert type(found) is type(message)


def test_records_are_records_again() -> None:
    execute = decode_to_worker(encode(Execute(CLAIM)))
    assert isinstance(execute, Execute)
    run = execute.claim.run
    assert (type(run), type(run.trigger), type(run.state), type(run.outcome)) == (
        Run,
        Trigger,
        State,
        Outcome,
    )
    assert isinstance(execute.claim.definition, Definition)
    end = decode_from_worker(encode(END))
    assert isinstance(end, AttemptEnd)
    assert (type(end.outcome), type(end.usage)) == (Outcome, Usage)


def test_definitions_are_kept_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "_DEFINITIONS_KEPT", 2)
    monkeypatch.setattr(messages, "_pickled", {})
    monkeypatch.setattr(messages, "_unpickled", {})
    for number in (1, 2, 3, 1, 1):
        claim = claim_of(shell(f"exit {number}"))
        assert decode_to_worker(encode(Execute(claim))) == Execute(claim)
        assert len(messages._pickled) <= 2
        assert len(messages._unpickled) <= 2
    first, second = (decode_to_worker(encode(Execute(claim))) for _ in range(2))
    assert isinstance(first, Execute)
    assert isinstance(second, Execute)
    assert first.claim.definition is second.claim.definition
