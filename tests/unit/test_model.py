"""The few things that the words of the model do."""

from __future__ import annotations

import pickle
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from cronq import clock, events
from cronq.errors import InvariantError
from cronq.model import Claim, Command, CommandKind, Definition, Run, State, Trigger


def test_argv_of_a_command_is_its_words() -> None:
    assert Command(CommandKind.ARGV, ("echo", "a b")).argv() == ("echo", "a b")


def test_argv_of_a_shell_line_is_a_shell_with_it() -> None:
    assert Command(CommandKind.SHELL, ("a | b",)).argv() == ("/bin/sh", "-c", "a | b")


def test_argv_of_a_callable_is_a_bug() -> None:
    with pytest.raises(InvariantError):
        Command(CommandKind.PYTHON, ("a:b",)).argv()


def test_key_of_a_claim_is_run_and_attempt() -> None:
    run = Run(7, 1, "job", 1, Trigger.MANUAL, State.RUNNING, 0, 0, 0, attempt=3)
    definition = Definition(Command(CommandKind.ARGV, ("true",)), "@daily")
    assert Claim(run, definition, "w", 0).key == (7, 3)


def test_records_cannot_be_changed_and_need_no_help_to_travel() -> None:
    run = Run(7, 1, "job", 1, Trigger.MANUAL, State.RUNNING, 0, 0, 0)
    with pytest.raises(AttributeError):
        run.state = State.DONE  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(run)) == run
    notice = events.Notice(0, "info", "hello")
    with pytest.raises(AttributeError):
        notice.level = "error"  # type: ignore[misc]


def test_events_can_be_forgotten() -> None:
    events.ignore(events.Notice(0, "info", "hello"))


# The clock


@pytest.mark.parametrize("us", [0, 1, -1, 999_999, -62_135_596_800_000_000, 253_402_300_799_999_999])
def test_microseconds_and_datetimes_are_exact(us: int) -> None:
    moment = clock.datetime_from_us(us)
    assert moment.tzinfo is UTC
    assert clock.us_from_datetime(moment) == us


def test_us_from_datetime_of_another_zone_is_the_same_instant() -> None:
    moment = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC)
    elsewhere = moment.astimezone(timezone(timedelta(hours=-9, minutes=-30)))
    assert clock.us_from_datetime(moment) == clock.us_from_datetime(elsewhere)


def test_now_is_the_machines_time() -> None:
    before = time.time_ns() // 1000
    assert before <= clock.now_us() <= time.time_ns() // 1000


def test_monotonic_never_steps_back_and_sleep_takes_its_time() -> None:
    before = clock.monotonic()
    clock.sleep(0.001)
    assert clock.monotonic() - before >= 0.001
