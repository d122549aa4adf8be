"""Pings of a real `cronq run`: what a check hears, and that no server can hold up a job."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.program import Cronq, Running, descendants, wait_until
from tests.ping_server import HANG, OK, PingServer, Reply, ping_server

pytest.importorskip("urllib3")


@pytest.fixture
def server() -> Iterator[PingServer]:
    with ping_server() as server:
        yield server


def senders(running: Running) -> list[int]:
    """Return the processes of a scheduler that send pings."""
    return [pid for pid in descendants(running.process.pid) if b"ping_process" in command_line(pid)]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def notices(running: Running) -> list[str]:
    running.pass_over()
    return [event["message"] for event in running.events if event["event"] == "notice"]


def test_check_hears_of_start_retry_failure_and_success(cronq: Cronq, server: PingServer) -> None:
    bad = 'echo "attempt $CRONQ_ATTEMPT with $TOKEN"; exit 3'
    options = ("--retries", "1", "--retry-delay", "0s", "--env", "TOKEN=hunter2hunter2", "--secret", "TOKEN")
    cronq("add", "bad", "@yearly", "--ping", f"{server.url}/bad?create=1", *options, "--shell", bad)
    cronq("add", "good", "@yearly", "--ping", f"{server.url}/good", "--shell", "echo fine")
    cronq("add", "mute", "@yearly", "--", "true")
    cronq("trigger", "bad", "good", "mute")
    with cronq.run("--until-idle") as running:
        assert running.ended() == 0
        assert notices(running) == []
    bad_ones = [one for one in server.heard if one.path.startswith("/bad")]
    assert [one.path for one in bad_ones] == ["/bad/start", "/bad/log", "/bad/3"]
    assert len({one.rid for one in bad_ones}) == 1
    assert bad_ones[1].body.splitlines()[1].startswith("failure: exit 3 after")
    assert bad_ones[1].body.endswith("next attempt in 0s\n\nattempt 1 with ***\n")
    assert bad_ones[2].body.endswith("\n\nattempt 2 with ***\n")
    good_ones = [one for one in server.heard if one.path.startswith("/good")]
    assert [one.path for one in good_ones] == ["/good/start", "/good"]
    assert good_ones[1].body.endswith("\n\nfine\n")
    assert len(server.heard) == 5


def test_variable_of_the_scheduler_holds_the_url(cronq: Cronq, server: PingServer) -> None:
    cronq("add", "a", "@yearly", "--ping", "$PING_A", "--", "true")
    cronq("trigger", "a")
    with cronq.run("--until-idle", PING_A=f"{server.url}/5f1") as running:
        assert running.ended() == 0
    assert server.paths() == ["/5f1/start", "/5f1"]


def test_scheduler_without_a_ping_starts_no_process(cronq: Cronq) -> None:
    cronq("add", "a", "@yearly", "--", "true")
    cronq("trigger", "a")
    with cronq.run() as running:
        running.wait_for("attempt_finished")
        assert senders(running) == []


def test_server_that_hangs_holds_up_neither_jobs_nor_the_end(cronq: Cronq) -> None:
    with ping_server(lambda _number, _path: HANG) as server:
        cronq("add", "a", "every 1s", "--ping", f"{server.url}/a", "--", "true")
        with cronq.run() as running:
            for _ in range(4):
                finished = running.wait_for("attempt_finished", outcome="success")
                assert finished["duration_s"] < 5
            lags = [event["lag_s"] for event in running.events if event["event"] == "attempt_started"]
            began = time.monotonic()
            running.signal(signal.SIGTERM)
            assert running.ended() == 0
            took = time.monotonic() - began
            told = notices(running)
    assert max(lags) < 5
    assert took < 15, "the bound for pings is 5 s"
    assert [message for message in told if message.endswith("not sent")]
    assert "scheduler_stopped" in {event["event"] for event in running.events}
    rows = cronq.rows("a")
    assert {row["outcome"] for row in rows} == {"success"}


def test_killed_sender_is_replaced_and_jobs_do_not_notice(cronq: Cronq) -> None:
    gate: list[Reply] = [HANG]
    with ping_server(lambda _number, _path: gate[0]) as server:
        cronq("add", "a", "@yearly", "--ping", f"{server.url}/a", "--", "true")
        cronq("trigger", "a")
        with cronq.run() as running:
            running.wait_for("attempt_finished", outcome="success")
            server.wait_for(lambda heard: heard)
            (first,) = senders(running)
            gate[0] = OK
            os.kill(first, signal.SIGKILL)
            notice = running.wait_for("notice")
            assert "ended by signal 9" in notice["message"]
            server.wait_for(lambda heard: [one.path for one in heard[1:]] == ["/a/start", "/a"])
            assert senders(running) != [first]
            running.signal(signal.SIGTERM)
            assert running.ended() == 0
    (row,) = cronq.rows("a")
    assert (row["outcome"], row["attempt"]) == ("success", 1)


def test_sender_ends_with_a_killed_scheduler_and_the_next_one_tells_the_end(
    cronq: Cronq, server: PingServer, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    cronq("add", "long", "@yearly", "--ping", f"{server.url}/x", "--shell", f"read answer < {gate}")
    cronq("trigger", "long")
    with cronq.run() as first:
        first.wait_for("attempt_started")
        server.wait_for(lambda heard: len(heard) == 1)
        (sender,) = senders(first)
        first.kill()
        wait_until(lambda: b"ping_process" not in command_line(sender), "the sender is gone")
        with cronq.run("--until-idle") as second:
            second.wait_for("run_adopted")
            gate.write_text("go\n")
            assert second.ended() == 0
    start, end = server.heard
    assert (start.path, end.path) == ("/x/start", "/x")
    assert start.rid == end.rid


def test_signals_for_the_whole_group_do_not_silence_it(cronq: Cronq, server: PingServer) -> None:
    """A service manager sends TERM to every process; what a run came to is still told."""
    line = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    cronq("add", "a", "@yearly", "--ping", f"{server.url}/a", "--shell", line)
    cronq("trigger", "a")
    with cronq.run("--drain", "0s") as running:
        running.wait_for("attempt_started")
        server.wait_for(lambda heard: len(heard) == 1)
        (sender,) = senders(running)
        os.kill(sender, signal.SIGTERM)
        os.kill(sender, signal.SIGINT)
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
        assert notices(running) == []
    assert server.paths() == ["/a/start", "/a/log"]


def test_missed_fire_times_are_told(cronq: Cronq, server: PingServer) -> None:
    cronq(
        "add",
        "a",
        "every 1s",
        "--catch-up",
        "skip",
        "--grace",
        "0s",
        "--ping",
        f"{server.url}/a",
        "--",
        "true",
    )
    wait_until(lambda: _is_due(cronq), "fire times have passed")
    with cronq.run() as running:
        running.wait_for("fire_times_passed", outcome="missed")
        server.wait_for(lambda heard: any(one.path == "/a/fail" for one in heard))
    told = next(one for one in server.heard if one.path == "/a/fail")
    assert " missed, " in told.body


def _is_due(cronq: Cronq) -> bool:
    decisions = cronq("run", "--dry-run")
    return "miss" in decisions
