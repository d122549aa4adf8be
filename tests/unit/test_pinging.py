"""The scheduler's side of pings, with the real process: it dies, hangs or cannot work, and nobody waits."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cronq import clock, events, pinging
from cronq.errors import StoreBusy
from cronq.model import SECOND, AttemptEnd, AttemptStart, Claim, Definition, Micros, Outcome, State
from cronq.pinging import IDLE_S, MOST, STALLED_S, Pings
from cronq.store import Place
from tests.crash.program import wait_until
from tests.ping_server import HANG, OK, PingServer, Reply, ping_server
from tests.unit.worker.rig import claim_of, shell

pytest.importorskip("urllib3")


class Clock:
    """The real one, which can be moved on."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> Micros:
        return clock.now_us() + round(self.ahead_s * SECOND)

    def monotonic(self) -> float:
        return clock.monotonic() + self.ahead_s

    def watch(self, fd: int) -> None: ...
    def unwatch(self, fd: int) -> None: ...
    def close(self) -> None: ...
    def wait(self, until: Micros | None) -> set[int]:
        raise AssertionError("pings never wait here")


class Rig:
    """Pings of a scheduler that is not there."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.clock = Clock()
        self.told: list[str] = []
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        place = Place(folder / "cronq.db", folder / "logs", "test")
        self.pings = Pings(place, self.clock, self.tell, {**kept, **environ})

    def tell(self, event: events.Event) -> None:
        assert isinstance(event, events.Notice)
        self.told.append(event.message)

    def claim(self, number: int, url: str | None) -> Claim:
        return claim_of(shell("true", ping=url), number)

    def start(self, number: int, url: str | None) -> None:
        self.pings.started(self.claim(number, url), AttemptStart((number, 1), 4711, self.clock.now()))

    def end(self, number: int, url: str | None, outcome: Outcome = Outcome.SUCCESS) -> None:
        claim = self.claim(number, url)
        after = claim.run._replace(state=State.DONE, outcome=outcome)
        self.pings.ended(claim, AttemptEnd((number, 1), outcome, self.clock.now(), exit_code=0), after)

    def settle(self) -> None:
        """Look until nothing waits."""
        self.until(lambda: not self.pings._waiting, "all pings were sent")

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Look until something is so."""

        def looked() -> object:
            self.pings.look()
            return condition()

        wait_until(looked, what)

    def is_another_than(self, pid: int) -> bool:
        return self.pid() != pid

    def pid(self) -> int:
        """Return the process that sends; 0: there is none."""
        return self.pings.pid or 0


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.pings.close()


@pytest.fixture
def server() -> Iterator[PingServer]:
    with ping_server() as server:
        yield server


def test_start_and_end_have_one_id(rig: Rig, server: PingServer) -> None:
    url = f"{server.url}/5f1"
    rig.start(1, url)
    rig.end(1, url)
    rig.start(2, url)
    rig.settle()
    first, second, third = server.heard
    assert [one.path for one in server.heard] == ["/5f1/start", "/5f1", "/5f1/start"]
    assert first.rid
    assert third.rid not in {"", second.rid}
    assert rig.told == []


def test_jobs_without_a_ping_start_no_process(rig: Rig) -> None:
    rig.start(1, None)
    rig.end(1, None)
    rig.pings.look()
    assert not rig.pid()


def test_definitions_of_fire_times_that_passed_are_looked_up_once(rig: Rig, server: PingServer) -> None:
    asked: list[tuple[int, int]] = []

    def definition_of(job_id: int, revision: int) -> Definition:
        asked.append((job_id, revision))
        return shell("true", ping=f"{server.url}/x" if job_id == 2 else None)

    def missed(job_id: int, number: int) -> Any:
        run = rig.claim(number, None).run
        return run._replace(job_id=job_id, state=State.DONE, outcome=Outcome.MISSED, reason="late")

    rig.pings.launched([missed(1, 1), missed(2, 2), missed(1, 3), missed(2, 4)], definition_of)
    rig.settle()
    assert asked == [(1, 1), (2, 1)]
    assert server.paths() == ["/x/fail", "/x/fail"]


def test_store_in_trouble_costs_a_ping_and_is_asked_again(rig: Rig) -> None:
    def refuse(_job_id: int, _revision: int) -> Definition:
        raise StoreBusy("busy")

    run = rig.claim(1, None).run._replace(state=State.DONE, outcome=Outcome.MISSED)
    rig.pings.launched([run], refuse)
    assert rig.pings._known == {}
    assert rig.told == []


def test_killed_process_is_replaced_and_nothing_is_lost(rig: Rig) -> None:
    gate = [HANG]
    with ping_server(lambda _number, _path: gate[0]) as server:
        for number in range(5):
            rig.end(number, f"{server.url}/{number}")
        server.wait_for(lambda heard: len(heard) == 5)
        first = rig.pid()
        assert first
        gate[0] = OK
        os.kill(first, signal.SIGKILL)
        rig.until(lambda: not rig.pid(), "its end is seen")
        assert rig.told == ["the process that sends pings ended by signal 9; it is started again"]
        rig.pings.look()
        assert not rig.pid(), "not at once"
        rig.clock.ahead_s += 2.0
        rig.settle()
        assert rig.pid() not in {0, first}
        assert sorted(server.paths()[5:]) == [f"/{number}" for number in range(5)]
    assert len(rig.told) == 1


def test_process_that_always_dies_is_not_started_for_ever(rig: Rig) -> None:
    with ping_server(lambda _number, _path: HANG) as server:
        rig.end(1, f"{server.url}/x")
        for _ in range(pinging._GIVE_UP + 1):
            pid = rig.pid()
            assert pid
            os.kill(pid, signal.SIGKILL)
            rig.until(partial(rig.is_another_than, pid), "its end is seen")
            rig.clock.ahead_s += 61.0
            rig.pings.look()
    assert not rig.pid()
    assert rig.told[-1].startswith("1 ping was given up")


def test_process_that_does_not_read_holds_up_nobody(rig: Rig, server: PingServer) -> None:
    """A stopped process: the pipe fills, then what waits here, then pings are dropped, which is told once."""
    rig.start(0, f"{server.url}/0")
    pid = rig.pid()
    assert pid
    os.kill(pid, signal.SIGSTOP)
    for number in range(1, MOST + 200):
        rig.end(number, f"{server.url}/{'x' * 200}")
    dropped = rig.pings._dropped
    assert dropped >= 190
    assert rig.told == [f"{MOST} pings wait to be sent: further ones are dropped"]
    os.kill(pid, signal.SIGCONT)
    rig.settle()
    assert rig.told[1:] == [f"{dropped} pings were dropped; further ones are sent again"]
    assert len(server.heard) == MOST


def test_process_that_is_silent_for_long_is_replaced(rig: Rig, server: PingServer) -> None:
    rig.start(1, f"{server.url}/x")
    rig.settle()
    pid = rig.pid()
    assert pid
    os.kill(pid, signal.SIGSTOP)
    rig.end(1, f"{server.url}/x")
    rig.clock.ahead_s += STALLED_S - 10
    rig.pings.look()
    assert rig.pid() == pid
    rig.clock.ahead_s += 20
    rig.pings.look()
    assert not rig.pid()
    rig.clock.ahead_s += 2
    rig.settle()
    assert server.paths() == ["/x/start", "/x"]


def test_process_goes_when_there_is_nothing_to_send(rig: Rig, server: PingServer) -> None:
    rig.start(1, f"{server.url}/x")
    rig.settle()
    pid = rig.pid()
    rig.clock.ahead_s += IDLE_S + 1
    rig.pings.look()
    assert not rig.pid()
    rig.until(lambda: not rig.pings._ending, "it is gone")
    rig.end(1, f"{server.url}/x")
    assert rig.pid() not in {0, pid}
    rig.settle()
    assert server.paths() == ["/x/start", "/x"]


def test_without_the_library_it_is_told_once(tmp_path: Path, server: PingServer) -> None:
    stub = tmp_path / "stub"
    stub.mkdir()
    (stub / "urllib3.py").write_text("raise ImportError\n")
    rig = Rig(tmp_path, PYTHONPATH=str(stub))
    rig.start(1, f"{server.url}/x")
    rig.until(lambda: rig.told, "it is told")
    rig.end(1, f"{server.url}/x")
    rig.pings.look()
    assert rig.told == ["pings are not sent: urllib3 is missing; pip install 'cronq-cli[ping]'"]
    rig.pings.close()
    assert len(rig.told) == 1
    assert server.heard == []


def test_end_waits_for_what_can_be_sent(rig: Rig, server: PingServer) -> None:
    for number in range(20):
        rig.end(number, f"{server.url}/{number}")
    rig.pings.close()
    assert len(server.heard) == 20
    assert (rig.pid(), rig.told) == (0, [])


def test_end_does_not_wait_for_a_server_that_hangs(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinging, "FLUSH_S", 0.3)
    with ping_server(lambda _number, path: HANG if path == "/hangs" else OK) as server:
        rig.end(1, f"{server.url}/hangs")
        rig.end(2, f"{server.url}/answers")
        began = clock.monotonic()
        server.wait_for(lambda heard: len(heard) == 2)
        rig.pings.close()
        assert clock.monotonic() - began < 30
    assert rig.told == ["1 ping was not sent"]
    assert rig.pings._ending[0].poll() is not None


def test_trouble_of_a_check_is_a_notice(rig: Rig) -> None:
    with ping_server(lambda _number, _path: Reply(404)) as server:
        rig.start(1, f"{server.url}/SECRET")
        rig.end(1, f"{server.url}/SECRET")
        rig.settle()
    assert rig.told == ["job: the ping could not be sent: HTTP 404"]


def test_loop_wakes_up_only_while_something_waits(rig: Rig, server: PingServer) -> None:
    def wakes() -> bool:
        return rig.pings._ticker.wakes

    assert not wakes()
    rig.start(1, f"{server.url}/x")
    assert wakes()
    rig.settle()
    assert not wakes()
