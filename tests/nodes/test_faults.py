"""Nodes that die, commands that run on meanwhile, and a server that is gone."""

from __future__ import annotations

import os
import shlex
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import psycopg
import pytest

from cronq.clock import now_us
from cronq.model import SECOND, AttemptEnd, Outcome
from cronq.store import Place
from cronq.worker import kernel
from cronq.worker.left_ends import leave_end
from tests.crash.program import Running, descendants, is_alive, wait_until
from tests.nodes.program import Line, Nodes
from tests.nodes.short_lease import LEASE_S

ONCE = "every 10000h from 2000-01-01"
ATTEMPTS = "SELECT attempt, outcome, reason, started_at, finished_at, exit_code, signal, host FROM attempt"
"""What is told of attempts; not whether their output is in the ledger yet."""
AT_ONCE = ("--catch-up", "skip")


@contextmanager
def still(nodes: Nodes, host: str) -> Iterator[None]:
    """Let all of a host stand still meanwhile."""
    pids = nodes.processes(host)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def begin(nodes: Nodes, sleep_s: float, *policies: str) -> None:
    """Define `long`, and have it started."""
    nodes.cronq("add", "long", ONCE, *AT_ONCE, *policies, "--", *nodes.witnessed(sleep_s))
    nodes.cronq("trigger", "long")
    wait_until(nodes.lines, "its start")


def begin_beside(nodes: Nodes, other: str) -> tuple[Line, int]:
    """Have `long` started anywhere but on one host; return its start, and when the last lease ends."""
    with still(nodes, other):
        begin(nodes, 60.0, "--on-crash", "rerun")
    (start,) = nodes.lines()
    return start, int(nodes.one("SELECT max(lease_until) FROM node WHERE lost_at IS NULL"))


def is_dead(pid: int) -> bool:
    return not is_alive(pid)


def kill_host(nodes: Nodes, host: str) -> None:
    """Kill all that is there, what is just being started, too."""
    while pids := nodes.processes(host):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def kill_workers(node: Running) -> None:
    for pid in node.workers():
        os.kill(pid, signal.SIGKILL)


def caretakers(nodes: Nodes) -> list[int]:
    """Return the processes that hold the lock of a caretaker."""
    return [
        pid
        for pid in nodes.processes()
        for path in nodes.folder.rglob("*.caretaker")
        if kernel.holds_file(pid, str(path))
    ]


def uptime() -> float:
    with open("/proc/uptime") as file:  # noqa: PTH123
        return float(file.read().split()[0])


def test_row_scheduler_killed_while_the_job_runs_and_started_again(nodes: Nodes) -> None:
    """Its successor on the host has the seat, and what is there: one start, and its true end."""
    with nodes.run("a") as first:
        begin(nodes, 5.0)
        first.kill()
        with nodes.run("a") as second:
            second.wait_for("run_adopted")
            assert second.wait_for("attempt_finished")["outcome"] == "success"
    assert [line.word for line in nodes.lines()] == ["start", "end"]
    assert nodes.outcomes() == {"success": 1}
    assert nodes.contradictions() == []


def test_row_scheduler_killed_while_the_job_runs_on_a_host_that_stays_away(nodes: Nodes) -> None:
    """The command is dead before the lease ends; only then another host begins with the run."""
    with nodes.run("b"), nodes.run("a") as first:
        start, lease_until = begin_beside(nodes, "b")
        first.kill()
        wait_until(lambda: is_dead(start.pid), "its death")
        assert nodes.now() < lease_until, "it lived longer than the lease"
        died_at = uptime()
        wait_until(lambda: len(nodes.lines()) == 2, "the second start")
        second = nodes.lines()[1]
        assert (second.word, second.key) == ("start", (start.run_id, 2))
        assert second.uptime_s > died_at
        assert died_at - start.uptime_s < LEASE_S < second.uptime_s - start.uptime_s + 5
        assert nodes.one("SELECT outcome FROM attempt WHERE attempt = 1") == "abandoned"


def test_row_worker_killed_and_its_node(nodes: Nodes) -> None:
    """The command alone is left: the caretaker of the seat kills it before the lease ends, and then goes."""
    with nodes.run("b"), nodes.run("a") as first:
        start, lease_until = begin_beside(nodes, "b")
        kill_workers(first)
        first.kill()
        wait_until(lambda: is_dead(start.pid), "its death")
        left_s = (lease_until - nodes.now()) / SECOND
        assert left_s > 0, "it lived longer than the lease"
        wait_until(lambda: len(nodes.lines()) == 2, "the second start")
        assert nodes.lines()[1].word == "start", "a part of the first one was alive"
        wait_until(lambda: not nodes.processes("a"), "the end of all on the host")
        print(f"dead {left_s:.2f} s before the lease ended")


@pytest.mark.slow
def test_row_command_closes_its_lock_and_worker_and_node_are_killed(nodes: Nodes) -> None:
    """As some programs close all that they inherit: it is known by its pid, to the caretaker, too."""
    shell = f"exec 9>&- 8>&- 7>&- 6>&- 5>&- 4>&- 3>&-; exec {shlex.join(nodes.witnessed(60.0))}"
    with nodes.run("b"), nodes.run("a") as first:
        with still(nodes, "b"):
            nodes.cronq("add", "long", ONCE, *AT_ONCE, "--on-crash", "rerun", "--shell", shell)
            nodes.cronq("trigger", "long")
            wait_until(nodes.lines, "its start")
        (start,) = nodes.lines()
        lease_until = nodes.one("SELECT max(lease_until) FROM node WHERE lost_at IS NULL")
        kill_workers(first)
        first.kill()
        wait_until(lambda: is_dead(start.pid), "its death")
        assert nodes.now() < lease_until, "it lived longer than the lease"


@pytest.mark.slow
def test_row_suspend_resume_of_all_that_a_dead_node_has_left(nodes: Nodes) -> None:
    """What stood still with its guardians is killed before a successor in the seat is trusted again."""
    with nodes.run("b") as other, nodes.run("a") as first:
        with still(nodes, "b"):
            begin(nodes, 60.0, "--on-crash", "rerun")
        (start,) = nodes.lines()
        first.kill()
        with still(nodes, "a"):
            other.wait_for("attempt_finished", outcome="abandoned")
            wait_until(lambda: nodes.lines()[-1].key == (start.run_id, 2), "the second start")
            with nodes.run("a"):
                assert is_dead(start.pid)
        assert [line.word for line in nodes.lines()] == ["start", "overlap", "start"]


def test_node_whose_lock_file_was_removed_gives_way(nodes: Nodes) -> None:
    """Else two would sit in one seat, and throw each other out for ever."""
    with nodes.run("a") as first:
        (path,) = nodes.folder.glob("host-a/**/1/node.lock")
        first.signal(signal.SIGSTOP)  # so that it cannot take it anew
        path.unlink()
        with nodes.run("a") as second:
            first.signal(signal.SIGCONT)
            assert first.ended() == 4
            nodes.add_jobs(["tick"], ["true"])
            assert second.wait_for("attempt_finished")["outcome"] == "success"
            assert nodes.one("SELECT count(*) FROM node") == 2


@pytest.mark.slow
def test_row_worker_killed_and_its_node_frozen(nodes: Nodes) -> None:
    with nodes.run("b"), nodes.run("a") as first:
        start, lease_until = begin_beside(nodes, "b")
        first.signal(signal.SIGSTOP)
        kill_workers(first)
        wait_until(lambda: is_dead(start.pid), "its death")
        assert nodes.now() < lease_until, "it lived longer than the lease"
        wait_until(lambda: len(nodes.lines()) == 2, "the second start")
        first.signal(signal.SIGCONT)
        assert nodes.lines()[1].word == "start", "a part of the first one was alive"


@pytest.mark.slow
def test_row_worker_stopped_and_its_node_killed(nodes: Nodes) -> None:
    """A worker that stands still kills nobody; the caretaker kills its command, and then the worker."""
    with nodes.run("b"), nodes.run("a") as first:
        start, lease_until = begin_beside(nodes, "b")
        (worker,) = (pid for pid in first.workers() if start.pid in descendants(pid))
        os.kill(worker, signal.SIGSTOP)
        first.kill()
        wait_until(lambda: is_dead(start.pid), "its death")
        assert nodes.now() < lease_until, "it lived longer than the lease"
        wait_until(lambda: not nodes.processes("a"), "the end of all on the host")


def test_caretaker_that_was_killed_is_replaced_and_there_is_one_for_each_seat(nodes: Nodes) -> None:
    with nodes.run("a") as first, nodes.run("a"):
        wait_until(lambda: len(caretakers(nodes)) == 2, "their caretakers")
        first.signal(signal.SIGTERM)
        assert first.ended() == 0
        wait_until(lambda: len(caretakers(nodes)) == 1, "that the first one goes")
        (before,) = caretakers(nodes)
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: len(caretakers(nodes)) == 1 and caretakers(nodes) != [before], "another one")


@pytest.mark.slow
def test_row_worker_killed_with_its_node(nodes: Nodes) -> None:
    """All of a host is gone at once; by default nobody starts it again, and it is said."""
    with nodes.run("a") as first:
        begin(nodes, 60.0)
        with nodes.run("b") as other:
            kill_host(nodes, "a")
            first.process.wait()
            ended = other.wait_for("attempt_finished")
            assert ended["outcome"] == "abandoned"
    assert len(nodes.lines()) == 1


def test_row_scheduler_killed_its_rescuer_never_heard_that_it_had_taken_the_run(nodes: Nodes) -> None:
    """It has begun once, whoever has it in hand now: it is abandoned, not put back as if it had not begun."""
    with nodes.run("a") as first:
        begin(nodes, 60.0)
        with nodes.run("b") as other:
            kill_host(nodes, "a")
            first.process.wait()
            mine = "(SELECT id FROM node WHERE lost_at IS NULL ORDER BY id DESC LIMIT 1)"
            nodes.rows(f"UPDATE run SET node = {mine} WHERE state = 'running'")
            ended = other.wait_for("attempt_finished")
            assert (ended["outcome"], ended["attempt"]) == ("abandoned", 1)
    assert nodes.outcomes() == {"abandoned": 1}
    assert len(nodes.lines()) == 1


def test_row_worker_killed_what_it_left_in_a_file_is_its_end(nodes: Nodes) -> None:
    """Another node of the host ends what a dead one left, and looks into its seat first."""
    with nodes.run("a"), nodes.run("a") as first:
        (other,) = (running for running in nodes.running if running is not first)
        with stopped(other):
            begin(nodes, 60.0)
            (start,) = nodes.lines()
            (attempts,) = nodes.folder.glob("host-a/**/2/node.attempts")
            first.destroy()
            left = AttemptEnd(
                start.key, Outcome.SUCCESS, now_us(), started_at=now_us(), pid=start.pid, exit_code=0
            )
            leave_end(Place(attempts.parent / "node", attempts.parent / "logs", "test"), left)
        assert other.wait_for("attempt_finished")["outcome"] == "success"
    assert nodes.outcomes() == {"success": 1}


@contextmanager
def stopped(node: Running) -> Iterator[None]:
    node.signal(signal.SIGSTOP)
    yield
    node.signal(signal.SIGCONT)


@pytest.mark.slow
def test_row_worker_killed_late_write_is_fenced(nodes: Nodes) -> None:
    """A host stands still for longer than its lease; what it writes when it comes back changes nothing."""
    with nodes.run("b") as other, nodes.run("a") as first:
        with still(nodes, "b"):
            begin(nodes, 3.0, "--on-crash", "rerun")
        with still(nodes, "a"):
            other.wait_for("attempt_finished", outcome="abandoned")
            assert other.wait_for("attempt_finished", attempt=2)["outcome"] == "success"
            before = nodes.rows(f"{ATTEMPTS} ORDER BY attempt")
            run = nodes.rows("SELECT * FROM run")
        first.wait_for("notice", level="error")
        # It is a node again, and works.
        with still(nodes, "b"):
            nodes.cronq("trigger", "long")
            wait_until(lambda: nodes.lines()[-1].run_id != run[0][0], "the next start")
        nodes.settle()
        key = f"run_id = {run[0][0]}"
        assert nodes.rows(f"{ATTEMPTS} WHERE {key} ORDER BY attempt") == before
        assert nodes.rows(f"SELECT * FROM run WHERE id = {run[0][0]}") == run


@pytest.mark.slow
def test_row_suspend_resume_of_a_node_that_holds_messages(nodes: Nodes) -> None:
    """Its child lives on, and holds them; others get new ones after some seconds."""
    nodes.add_jobs(["once"], ["true"], every_s=36_000_000)
    with nodes.run("a") as first:
        nodes.cronq("trigger", "once")
        first.wait_for("attempt_finished")
        first.signal(signal.SIGSTOP)
        nodes.cronq("trigger", "once")
        wait_until(
            lambda: nodes.one("SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'"), "hold"
        )
        with nodes.run("b"):
            began = time.monotonic()
            wait_until(lambda: nodes.outcomes() == {"success": 2}, "its end")
            print(f"done after {time.monotonic() - began:.1f} s")
        first.signal(signal.SIGCONT)


def test_row_cancel_reaches_another_host(nodes: Nodes) -> None:
    nodes.add_jobs(["long"], ["sleep", "60"], every_s=36_000_000)
    took = []
    with nodes.run("a") as node:
        for _ in range(20):
            nodes.host("b")("trigger", "long")
            started = node.wait_for("attempt_started")
            asked = time.monotonic()
            nodes.rows(f"UPDATE run SET stop_reason = 'cancelled by test' WHERE id = {started['run_id']}")
            wait_until(partial(is_dead, started["pid"]), "its end")
            took.append(time.monotonic() - asked)
            assert node.wait_for("attempt_finished")["outcome"] == "cancelled"
        nodes.host("b")("trigger", "long")
        started = node.wait_for("attempt_started")
        nodes.host("b")("cancel", str(started["run_id"]))
        assert node.wait_for("attempt_finished")["reason"].startswith("cancelled")
    took.sort()
    print(f"cancel of 20: p50 {statistics.median(took) * 1000:.0f} ms, max {took[-1] * 1000:.0f} ms")
    assert statistics.median(took) < 0.25


@pytest.mark.slow
def test_row_database_gone_for_a_while(own_nodes: Nodes) -> None:
    """They say it once, go on with what runs, and account for all fire times when it is back."""
    nodes = own_nodes
    nodes.module = "cronq"  # so that the lease is longer than that
    nodes.add_jobs(["tick"], nodes.witnessed(0.0))
    nodes.add_jobs(["long"], nodes.witnessed(6.0), every_s=36_000_000)
    with nodes.run("a") as first, nodes.run("b") as other:
        nodes.cronq("trigger", "long")
        wait_until(lambda: any(line.job == "long" for line in nodes.lines()), "its start")
        nodes.server.stop()
        nodes.wait(7.0)
        nodes.server.start()
        nodes.rows("DELETE FROM procrastinate_jobs")  # as if the server had lost them
        began = time.monotonic()
        before = nodes.fire_times()
        wait_until(lambda: nodes.fire_times() > before, "a fire time")
        back_s = time.monotonic() - began
        nodes.wait(3.0)
        nodes.cronq("set", "tick", "every 10000h from 2000-01-01")
        nodes.cronq("set", "long", "every 10000h from 2000-01-01")
        nodes.settle()
        for node in (first, other):
            notices = [event["message"] for event in node.events if event["event"] == "notice"]
            print(*notices, sep="\n")
            assert len([text for text in notices if "nothing is started until" in text]) == 1
            assert len([text for text in notices if "no messages arrive" in text]) <= 2
    assert nodes.contradictions() == []
    assert nodes.one("SELECT outcome FROM run JOIN job ON job.id = job_id WHERE name = 'long'") == "success"
    nodes.cronq("audit")
    print(f"fired again after {back_s:.1f} s; {nodes.outcomes()}")


@pytest.mark.slow
def test_a_locked_table_ends_no_lease(nodes: Nodes) -> None:
    """Somebody alters it: all that asks for it waits, one after the other, and the server is there."""
    nodes.module = "cronq"  # with the true lease: each may wait for 10 s
    with nodes.run("a") as node:
        begin(nodes, 45.0)
        (start,) = nodes.lines()
        with psycopg.connect(nodes.url) as other:
            other.execute("LOCK TABLE cronq.run IN ACCESS EXCLUSIVE MODE")
            nodes.wait(40.0)
            assert is_alive(start.pid)
        assert node.wait_for("attempt_finished")["outcome"] == "success"
    assert nodes.one("SELECT count(*) FROM node") == 1
