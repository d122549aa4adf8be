"""Who looks after whose attempts: the seat says it, not the name of the host."""

from __future__ import annotations

import fcntl
import signal
import time
from dataclasses import replace

import pytest

from cronq.seat import Seats
from cronq.store.postgres.location import seats_folder, server_place
from tests.crash.program import wait_until
from tests.nodes.program import Nodes

LONG = ("--catch-up", "skip", "--overlap", "skip", "--on-crash", "rerun")


@pytest.mark.slow
def test_two_folders_of_one_host_keep_their_hands_off_each_other(nodes: Nodes) -> None:
    """Two users of one machine, or two machines of one name: each numbers its seats from 1."""
    nodes.cronq("add", "long", "every 10000h from 2000-01-01", *LONG, "--", *nodes.witnessed(8.0))
    with nodes.run("a"), nodes.run("a"):
        nodes.cronq("trigger", "long")
        wait_until(nodes.lines, "a start")
        # Beats go by, and in each of them a node looks for those of its host that are dead.
        with nodes.run("b"), nodes.run("b"):
            wait_until(lambda: len(nodes.lines()) == 2, "its end")
            assert nodes.rows("SELECT lost_at FROM node WHERE lost_at IS NOT NULL") == []
        wait_until(lambda: nodes.outcomes() == {"success": 1}, "the end in the ledger")
    assert [line.word for line in nodes.lines()] == ["start", "end"]


def seats_on(nodes: Nodes, host: str) -> Seats:
    environ = nodes.host(host).environ()
    name = nodes.one("SELECT value FROM fact WHERE name = 'ledger'")
    return Seats(server_place(nodes.url, "test", environ), name, environ)


def test_a_seat_is_known_by_its_folder(nodes: Nodes) -> None:
    ours, theirs = seats_on(nodes, "a"), seats_on(nodes, "b")
    seat, other = ours.take("fires *"), theirs.take("fires *")
    assert seat.name != other.name
    assert not ours.is_deserted(seat.name)
    seat.hold()
    assert ours.is_deserted(seat.name)
    assert not theirs.is_deserted(seat.name)
    again = ours.take("fires *")
    assert again.name == seat.name
    again.hold()
    other.hold()


def test_a_ledger_has_its_seats_however_its_address_is_written_and_another_one_has_others(
    nodes: Nodes,
) -> None:
    """What is in a seat speaks of runs by their numbers, which each ledger gives."""
    cronq = nodes.host("a")
    ways = (nodes.url, f"{nodes.url}&connect_timeout=7", f"{nodes.url}&schema=cronq")
    another = f"{nodes.url}&schema=other"
    for url in (*ways, another):
        at = replace(cronq, always={**cronq.always, "CRONQ_DB": url})
        if url in {nodes.url, another}:
            at("add", "job", "@yearly", "--", "echo", "hello")
        at("trigger", "job")
        at("run", "--until-idle")
    folder = seats_folder(cronq.environ())
    assert sorted(len([*ledger.rglob("*.log")]) for ledger in folder.iterdir()) == [1, 3]


@pytest.mark.slow
def test_a_second_node_of_a_host_ends_what_a_dead_one_left(nodes: Nodes) -> None:
    """On the same host nobody has to wait for the end of a lease: locks tell that all of it is dead."""
    nodes.cronq("add", "long", "every 10000h from 2000-01-01", "--", *nodes.witnessed(60.0))
    with nodes.run("a") as first:
        nodes.cronq("trigger", "long")
        wait_until(nodes.lines, "a start")
        with nodes.run("a") as second:
            first.signal(signal.SIGSTOP)
            (line,) = nodes.lines()
            nodes.end(first)
            began = time.monotonic()
            ended = second.wait_for("attempt_finished", run_id=line.run_id)
            assert ended["outcome"] == "abandoned"
            assert time.monotonic() - began < 8
            nodes.running.append(first)


def test_a_seat_where_something_lives_is_for_a_node_of_the_same_role(nodes: Nodes) -> None:
    seats = seats_on(nodes, "a")
    first = seats.take("fires *")
    first.place.attempts.mkdir(mode=0o700)
    alive = first.place.attempts / "w-1.attempt"
    alive.touch()
    with alive.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        first.hold()
        other = seats.take("executes gpu")
        assert other.name != first.name
        other.hold()
        again = seats.take("fires *")
        assert again.name == first.name
        again.hold()
    deserted = seats.take("executes gpu")
    assert deserted.name == first.name
    deserted.hold()


def test_a_killed_node_of_this_host_is_in_nobodys_way(nodes: Nodes) -> None:
    """Its lease goes on, and the kernel says that it is dead."""
    nodes.cronq("add", "job", "@yearly", "--", "true")
    move = ("db", "move", str(nodes.folder / "file.db"), "--plan")
    with nodes.run("a") as first:
        assert "1 node of this ledger at work" in nodes.cronq(*move, code=4)
        first.kill()
        assert nodes.one("SELECT count(*) FROM node WHERE lease_until > cronq_now()") == 1
        nodes.cronq(*move)
        assert "none is running" in nodes.cronq("doctor")
        assert "1 node of this ledger at work" in nodes.host("b")(*move, code=4)
