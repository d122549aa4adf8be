"""Messages from a transaction to the node and back, with a real server and a real child."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cronq.store.postgres import messages as sql
from cronq.wire.lines import Permit, Setup, Splitter
from cronq.wire.receiver import Receiver
from cronq.worker import kernel
from cronq.worker.reaper import Reaper
from tests.wire.conftest import BOUND_S, Base, Node, Server, psycopg
from tests.wire.test_sql import live, put

Start = Callable[..., Node]


def statuses(base: Base) -> list[str]:
    return [row[0] for row in base.ask("SELECT status::text FROM procrastinate_jobs ORDER BY id")]


def until_none_is_left(base: Base, node: Node) -> None:
    until_quiet(lambda: statuses(base) == [], node)


def until_quiet(condition: Callable[[], object], node: Node) -> None:
    """Wait for what only the database shows, and keep the loop going."""
    ends = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < ends
        select.select([node.receiver], [], [], 0.02)
        node.troubles += node.receiver.poll(time.monotonic())


def is_gone(pid: int) -> bool:
    info = kernel.process_info(pid)
    return info is None or info.state == "Z"


def test_lines_are_cut_where_they_end() -> None:
    splitter = Splitter()
    assert [*splitter.feed(b"a\nb"), *splitter.feed(b""), *splitter.feed(b"c\n\n")] == [b"a", b"bc", b""]


@pytest.mark.parametrize("queue", ["default", "with space", 'quo"te', "Ünï", "new\nline"])
def test_permit_survives_the_way(queue: str) -> None:
    permit = Permit(2**60, 7, queue)
    line = permit.encode()
    assert line.count(b"\n") == 1
    assert Permit.decode(line.decode().rstrip("\n").removeprefix("GOT ")) == permit


def test_setup_survives_the_way_and_does_not_show_the_password() -> None:
    setup = Setup("postgresql://me:secret@host/base", "cronq", 4, queues=("a", "b"), listen=False)
    assert Setup.decode(setup.encode()) == setup
    assert "secret" not in repr(setup)


def test_message_arrives_within_100_ms_of_the_commit_and_is_gone_when_given_back(
    base: Base, start: Start
) -> None:
    node = start()
    node.until_ready()
    node.until(lambda: True)
    took: list[float] = []
    for number in range(5):
        message = put(base, run=number)
        took.append(node.until(lambda: node.receiver.held == 1))
        assert node.receiver.permits == (Permit(message, number, "default"),)
        node.receiver.release(1)
        assert node.receiver.held == 0
    # One of them may have met a busy machine.
    assert sorted(took)[2] < 0.1, took
    until_none_is_left(base, node)
    assert node.troubles == []


def test_message_of_a_transaction_that_is_rolled_back_never_arrives(base: Base, start: Start) -> None:
    node = start()
    node.until_ready()
    with psycopg.connect(base.conninfo) as connection:
        connection.execute(f"""SET search_path TO "{base.schema}" """)
        connection.execute("SELECT " + sql.put_expression("1", "'default'", "9"))
        connection.rollback()
    put(base, run=2)
    node.until(lambda: node.receiver.held > 0)
    assert [permit.run_id for permit in node.receiver.permits] == [2]


def test_no_more_are_held_than_there_are_slots_and_the_first_are_the_most_urgent(
    base: Base, start: Start
) -> None:
    for number in range(5):
        put(base, run=number, priority=number)
    node = start(slots=2)
    node.until(lambda: node.receiver.held == 2)
    assert [permit.run_id for permit in node.receiver.permits] == [4, 3]
    node.receiver.release(1)
    node.until(lambda: node.receiver.held == 2)
    assert [permit.run_id for permit in node.receiver.permits] == [3, 2]
    node.receiver.release(99)
    node.until(lambda: node.receiver.held == 2)
    node.receiver.release(2)
    until_none_is_left(base, node)


def test_no_more_are_held_than_is_allowed_and_what_waits_is_found_when_more_may_be(
    base: Base, start: Start
) -> None:
    node = start(slots=3, poll_s=3600.0)
    node.until_ready()
    node.receiver.allow(1)
    for number in range(4):
        put(base, run=number)
    node.until(lambda: node.receiver.held == 1)
    node.receiver.allow(0)
    node.receiver.release(1)
    until_quiet(lambda: statuses(base) == ["todo"] * 3, node)
    assert node.receiver.held == 0
    node.receiver.allow(2)
    node.until(lambda: node.receiver.held == 2)
    assert statuses(base) == ["doing", "doing", "todo"]


def test_what_is_allowed_is_known_to_the_next_child_too(base: Base, start: Start) -> None:
    node = start(slots=3)
    node.until_ready()
    node.receiver.allow(1)
    pid = node.receiver.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    for number in range(3):
        put(base, run=number)
    node.until(lambda: node.receiver.held == 1 and node.receiver.pid != pid)
    assert statuses(base) == ["doing", "todo", "todo"]


def test_queues_are_respected(base: Base, start: Start) -> None:
    node = start(queues=("a", "b c"))
    node.until_ready()
    for number, queue in enumerate(["other", "a", "other", "b c"]):
        put(base, run=number, queue=queue)
    node.until(lambda: node.receiver.held == 2)
    assert {(permit.run_id, permit.queue) for permit in node.receiver.permits} == {(1, "a"), (3, "b c")}
    assert statuses(base) == ["todo", "doing", "todo", "doing"]


def test_without_listening_messages_are_found_by_looking(base: Base, start: Start) -> None:
    node = start(listen=False, poll_s=0.2)
    node.until_ready()
    put(base)
    assert node.until(lambda: node.receiver.held == 1) < 5


def test_killed_child_is_replaced_and_what_it_held_is_found_dead(base: Base, start: Start) -> None:
    node = start(heartbeat_s=0.2, stalled_s=1.0)
    first = put(base)
    node.until(lambda: node.receiver.held == 1)
    pid = node.receiver.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    node.until(lambda: node.receiver.voided)
    assert (node.receiver.held, node.receiver.pid) == (0, None)
    assert [trouble.level for trouble in node.troubles] == ["warning"]
    node.receiver.release(1)  # too late; nothing happens

    assert node.until(lambda: node.receiver.pid) > 0.3
    node.until_ready()
    assert node.troubles[-1].level == "info"
    until_quiet(lambda: not base.ask(sql.LIVE, ids=[first], stalled_s=1.0), node)
    second = put(base)
    node.until(lambda: node.receiver.held == 1)
    assert base.ask(sql.BURY_DEAD, stalled_s=1.0) == [(first, "default", 1)]
    assert base.ask(sql.LIVE, ids=[first, second], stalled_s=1.0) == [(second,)]
    assert is_gone(pid)


def test_delay_doubles_while_children_die(base: Base, start: Start) -> None:
    node = start()
    delays = []
    for _ in range(3):
        node.until(lambda: node.receiver.pid)
        assert node.receiver.pid is not None
        os.kill(node.receiver.pid, signal.SIGKILL)
        node.until(lambda: not node.receiver.pid)
        began = time.monotonic()
        deadline = node.receiver.deadline()
        while deadline is not None and deadline - began < 0.1:  # until it is buried
            node.receiver.poll(time.monotonic())
            deadline = node.receiver.deadline()
        assert deadline is not None
        delays.append(deadline - began)
    assert delays == pytest.approx([0.5, 1.0, 2.0], abs=0.3)


def test_message_that_was_buried_too_early_does_no_harm(base: Base, start: Start) -> None:
    node = start()
    message = put(base)
    node.until(lambda: node.receiver.held == 1)
    base.ask("DELETE FROM procrastinate_jobs WHERE id = :id RETURNING id", id=message)
    node.receiver.release(1)
    put(base, run=2)
    node.until(lambda: node.receiver.held == 1)
    assert (node.troubles, node.receiver.voided) == ([], 0)


def test_child_that_was_taken_for_dead_is_replaced(base: Base, start: Start) -> None:
    node = start()
    node.until_ready()
    base.ask("DELETE FROM procrastinate_workers RETURNING id")
    put(base)
    node.until(lambda: node.receiver.held == 1)
    assert "foreign key" in node.troubles[0].message


def test_child_leaves_when_its_parent_is_killed(base: Base, tmp_path: Path) -> None:
    code = """
import json, sys, select, time
from cronq.wire.lines import Setup
from cronq.wire.receiver import Receiver
receiver = Receiver(Setup.decode(sys.stdin.buffer.readline()))
receiver.start()
while True:
    receiver.poll(time.monotonic())
    if receiver.held:
        print(receiver.pid, flush=True)
    select.select([receiver], [], [], 1)
"""
    message = put(base)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        node.stdin.write(base.setup().encode())
        node.stdin.flush()
        child = int(node.stdout.readline())
        node.kill()
    ends = time.monotonic() + BOUND_S
    while not is_gone(child):
        assert time.monotonic() < ends
        time.sleep(0.01)
    assert statuses(base) == ["doing"]
    assert live(base, message) == {message}  # until its heartbeat is too old


def test_stop_fetches_no_more_and_leaves_when_all_is_given_back(base: Base, start: Start) -> None:
    node = start()
    put(base)
    node.until(lambda: node.receiver.held == 1)
    node.receiver.stop()
    listening = "SELECT 1 FROM pg_stat_activity WHERE starts_with(query, 'LISTEN')"
    until_quiet(lambda: not base.ask(listening), node)
    second = put(base, run=2)
    node.receiver.release(1)
    node.until(lambda: node.receiver.pid is None and node.receiver.deadline() is None)
    assert statuses(base) == ["todo"]
    assert base.ask("SELECT count(*) FROM procrastinate_workers") == [(0,)]
    assert live(base, second) == {second}
    assert (node.troubles, node.receiver.voided) == ([], 0)


def test_restart_of_the_server_is_ridden_out(base: Base, server: Server, start: Start) -> None:
    node = start()
    put(base)
    node.until(lambda: node.receiver.held == 1)
    server.restart()
    base.connect_again()
    put(base, run=2)
    node.until(lambda: 2 in {permit.run_id for permit in node.receiver.permits})


def test_server_that_is_down_is_waited_for(base: Base, server: Server, start: Start) -> None:
    server.control("stop", "-m", "fast")
    try:
        node = start()
        node.until(lambda: node.troubles)
        pid = node.receiver.pid
    finally:
        server.control("start")
    node.until_ready()
    assert node.receiver.pid == pid
    assert [trouble.level for trouble in node.troubles] == ["warning", "info"]
    base.connect_again()
    put(base)
    node.until(lambda: node.receiver.held == 1)


def test_password_is_nowhere(base: Base, start: Start) -> None:
    node = start(conninfo=f"host=/nowhere/hunter2 user=postgres password=hunter2 dbname={'x' * 3}")
    node.until(lambda: node.troubles)
    assert "hunter2" not in node.troubles[0].message
    assert "/nowhere/***" in node.troubles[0].message
    for name in ("cmdline", "environ"):
        assert b"hunter2" not in Path(f"/proc/{node.receiver.pid}/{name}").read_bytes()


def test_connection_string_that_is_none_does_not_show_itself(start: Start) -> None:
    node = start(conninfo="hunter2")
    node.until(lambda: node.troubles)
    assert "hunter2" not in str(node.troubles)


def test_nobody_takes_the_child_for_what_an_attempt_left(
    base: Base, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRONQ_STORE", "/a/database")
    reaper = Reaper()
    try:
        node = start()
        node.until_ready()
        pid = node.receiver.pid
        assert pid is not None
        assert not [name for name in kernel.environment_of(pid) if name.startswith(b"CRONQ_")]
        inherited = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if int(fd.name) > 2}
        assert not [name for name in inherited if name.startswith("/") and not name.startswith("/dev/")]
        os.kill(pid, signal.SIGKILL)
        while not is_gone(pid):
            time.sleep(0.01)
        assert reaper.is_due()
        assert pid in kernel.children_of(os.getpid())
        assert pid not in reaper.orphans()
    finally:
        reaper.close()


def test_child_that_somebody_else_buried_is_replaced(base: Base, start: Start) -> None:
    """As in a node that is pid 1, whose reaper takes every zombie."""
    node = start()
    node.until_ready()
    pid = node.receiver.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    node.until(lambda: node.receiver.pid not in {None, pid})
    node.until_ready()


def test_closing_leaves_no_process(base: Base) -> None:
    node = Node(base.setup())
    node.until_ready()
    pid = node.receiver.pid
    node.receiver.close()
    assert pid not in kernel.children_of(os.getpid())


def test_importing_brings_neither_driver_nor_procrastinate() -> None:
    modules = "cronq.wire.receiver, cronq.store.postgres.procrastinate_schema"
    code = f"import {modules}, json, sys; print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert not {"psycopg", "procrastinate", "asyncio"} & set(json.loads(done.stdout))


def test_receiver_that_was_never_started_is_closed(base: Base) -> None:
    receiver = Receiver(base.setup())
    assert receiver.deadline() is None
    receiver.stop()
    receiver.close()
