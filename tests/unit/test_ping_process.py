"""What the process that sends pings does with a line: order, what is sent along, and what it never tells."""

from __future__ import annotations

import os
import threading
import uuid
from pathlib import Path
from typing import Any, cast

import pytest

from cronq import ping_process
from cronq.model import Command, CommandKind, Definition
from cronq.ping_process import MOST_BYTES, Lanes, Ping, body_of, run_uuid, tail_of
from cronq.store.documents import document_from_definition

PATIENCE_S = 30.0


def ping(number: int = 1, **values: Any) -> Ping:
    fields = {
        "id": number,
        "job": "backup",
        "url": "http://h/a",
        "kind": "",
        "text": "what happened",
        "run": "one",
        "log": None,
        "definition": None,
    }
    return cast("Ping", {**fields, **values})


class Told(list[dict[str, object]]):
    """What the scheduler would be told."""

    def warnings(self) -> list[object]:
        return [one["warning"] for one in self if "warning" in one]

    def done(self) -> list[object]:
        return [one["done"] for one in self if "done" in one]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    told = Told()
    monkeypatch.setattr(ping_process, "answer", told.append)
    return told


class Sender:
    """Sends nothing: remembers, and says what it is told to say; a URL may be held up."""

    def __init__(self, problem: str = "", held: str | None = None) -> None:
        self.sent: list[str] = []
        self.problem = problem
        self.held = held
        self.release = threading.Event()

    def send(self, url: str, body: bytes) -> str:
        if self.held is not None and self.held in url:
            assert self.release.wait(PATIENCE_S)
        self.sent.append(url.partition("?")[0])
        if self.problem == "raise":
            raise RuntimeError(url)
        return self.problem


def lanes_of(sender: Sender) -> Lanes:
    return Lanes(sender)  # type: ignore[arg-type]


def test_pings_of_a_check_keep_their_order(told: Told) -> None:
    sender = Sender()
    lanes = lanes_of(sender)
    for number in range(50):
        lanes.put(ping(number, kind=str(number % 7)))
    lanes.wait(PATIENCE_S)
    assert sender.sent == [f"http://h/a/{number % 7}" for number in range(50)]
    assert told.done() == list(range(50))


def test_check_that_hangs_holds_up_no_other(told: Told) -> None:
    sender = Sender(held="/a")
    lanes = lanes_of(sender)
    lanes.put(ping(1))
    for number in range(2, 12):
        lanes.put(ping(number, url=f"http://h/{number}"))
    lanes.wait(0.2)
    assert sorted(map(str, told.done())) == sorted(str(number) for number in range(2, 12))
    sender.release.set()
    lanes.wait(PATIENCE_S)
    assert len(told.done()) == 11


def test_trouble_is_told_once_until_it_is_over(told: Told) -> None:
    sender = Sender(problem="HTTP 500")
    lanes = lanes_of(sender)
    for number, problem in enumerate(["HTTP 500", "HTTP 404", "", "HTTP 500"]):
        sender.problem = problem
        lanes.put(ping(number))
        lanes.wait(PATIENCE_S)
    assert told.warnings() == [
        "backup: the ping could not be sent: HTTP 500",
        "backup: the ping could not be sent: HTTP 500",
    ]
    assert told.done() == [0, 1, 2, 3]


def test_bug_costs_one_ping_and_tells_no_url(told: Told) -> None:
    lanes = lanes_of(Sender(problem="raise"))
    lanes.put(ping(1))
    lanes.wait(PATIENCE_S)
    assert told.warnings() == ["backup: the ping could not be sent: RuntimeError"]
    assert told.done() == [1]


def test_variable_holds_the_url(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PING_A", "https://h/5f1")
    monkeypatch.setenv("PING_BAD", "h/SECRET")
    monkeypatch.delenv("PING_NONE", raising=False)
    sender = Sender()
    lanes = lanes_of(sender)
    for number, name in enumerate(["A", "BAD", "NONE"]):
        lanes.put(ping(number, url=f"$PING_{name}", kind="start"))
        lanes.wait(PATIENCE_S)
    assert sender.sent == ["https://h/5f1/start"]
    assert told.warnings() == [
        "backup: the ping could not be sent: the variable PING_BAD holds no URL",
        "backup: the ping could not be sent: the scheduler has no variable PING_NONE",
    ]


def test_run_has_one_id_whoever_asks() -> None:
    assert run_uuid("db\njob\n1\n2") == run_uuid("db\njob\n1\n2") != run_uuid("db\njob\n1\n3")
    assert str(uuid.UUID(run_uuid("x"))) == run_uuid("x")


def test_output_follows_what_happened(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo\n")
    assert body_of(ping(log=str(log))) == b"what happened\n\none\ntwo\n"
    assert body_of(ping(log=str(tmp_path / "none"))) == b"what happened\n"
    assert body_of(ping(text="\udc80x")) == b"?x\n"


def test_of_much_output_the_end_is_sent_as_text(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes("ü".encode() * MOST_BYTES + b"end")
    body = body_of(ping(log=str(log)))
    assert MOST_BYTES - 3 <= len(body) <= MOST_BYTES
    assert body.decode().endswith("üend")
    # What is no text grows by being made some; it is still no more.
    log.write_bytes(b"\xff" * MOST_BYTES)
    body = body_of(ping(log=str(log)))
    assert len(body) <= MOST_BYTES
    body.decode()


def test_hole_of_a_cut_is_not_sent(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"head\n" + bytes(5000) + b"tail\n")
    assert tail_of(log, 10_000, None) == b"head\ntail\n"


def test_secrets_are_masked_also_where_the_tail_begins(tmp_path: Path) -> None:
    definition = Definition(
        Command(CommandKind.ARGV, ("true",)), "@daily", env=(("T", "hunter2-hunter2"),), secrets=("T",)
    )
    document = document_from_definition(definition)
    log = tmp_path / "log"
    log.write_bytes(b"x" * 100 + b"hunter2-hunter2 and hunter2-hunter2\n")
    for most in range(5, 140):
        tail = tail_of(log, most, document)
        assert b"hunter2" not in tail, most
        assert len(tail) <= most


def test_answers_are_whole_lines(capfd: pytest.CaptureFixture[str]) -> None:
    threads = [
        threading.Thread(target=ping_process.answer, args=({"warning": str(n) * 3000},)) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = capfd.readouterr().out.splitlines()
    assert sorted(line[13] for line in lines) == list("01234567")
    assert len({len(line) for line in lines}) == 1


def test_scheduler_that_is_gone_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)

    def broken(_fd: int, data: bytes) -> int:
        return real(write, data)

    real = os.write
    monkeypatch.setattr(os, "write", broken)
    ping_process.answer({"done": 1})
    os.close(write)
