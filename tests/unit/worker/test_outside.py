"""Commands outside that hold named locks: signals at the worst moment, and what is known of the dead."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cronq.store import Place, Store, open_store
from cronq.worker import outside
from cronq.worker.outside import Outside
from tests.unit.worker.rig import place_at


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_at(tmp_path)


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    store = open_store(place, create=True, environ={})
    yield store
    store.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_that_comes_while_the_command_is_being_started_is_passed_on_to_it(
    place: Place, store: Store, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)
            signal.raise_signal(number)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    store.set_lock("db", 1, now=1)
    one = Outside(place, store, lambda: False)
    try:
        with outside.interrupted_by_signals(), one.in_line(["db"], "sleep"):
            assert one.wait(0.0)
            assert one.run(["sleep", "600"], os.environ) == 128 + number
    finally:
        started[0].kill()
        started[0].wait()


def test_interruption_while_the_command_is_being_started_is_left_to_the_command(
    place: Place, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    store.set_lock("db", 1, now=1)
    one = Outside(place, store, lambda: False)
    with one.in_line(["db"], "sh"):
        assert one.wait(0.0)
        assert one.run(["sh", "-c", "exit 7"], os.environ) == 7


def test_one_who_waits_looks_at_the_line_only_when_the_ledger_has_changed(
    place: Place, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    take = store.take_locks

    def counted(holder: str, **options: Any) -> bool:
        looks.append(holder)
        return take(holder, **options)

    monkeypatch.setattr(store, "take_locks", counted)
    monkeypatch.setattr(outside, "LOOK_AT_OTHERS_S", 3600.0)
    other = open_store(place, create=False, environ={})
    other.set_lock("db", 1, now=1)
    one, holder = Outside(place, store, lambda: False), Outside(place, other, lambda: False)
    with holder.in_line(["db"], "x"):
        assert holder.wait(0.0)
        with one.in_line(["db"], "y"):
            assert not one.wait(0.3)
            assert len(looks) == 1
            other.set_lock("db", 2, now=2)
            assert one.wait(20.0)
            assert len(looks) == 2
    other.close()
