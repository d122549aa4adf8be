"""Nodes in PostgreSQL: leases, what becomes of the runs of a lost one, and messages that follow the runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from cronq.errors import JobNotFound, RunNotFound, StoreBusy
from cronq.model import AttemptEnd, AttemptStart, Micros, Outcome, State
from cronq.rezone import FACT, follow_zone_data
from cronq.store import Place, RunQuery
from cronq.store.postgres.address import Address, parse_address
from cronq.store.postgres.nodes import LEASE_S, Node
from cronq.store.postgres.store import PostgresStore, open_postgres
from tests.crash.program import wait_until
from tests.postgres.server import Server
from tests.unit.store.builders import BOOT, MINUTE, add, claim_all, pause, remove, resume

Open = Callable[[], PostgresStore]
NOW = 1_700_000_000 * 1_000_000
"""Before all instants of the server's clock."""
LATER = 4_000_000_000 * 1_000_000
"""After all instants of the server's clock."""


@pytest.fixture
def open_one(tmp_path: Path, postgres: Server) -> Iterator[Open]:
    address = parse_address(f"{postgres.url}&schema=nodes", "test")
    opened: list[PostgresStore] = []

    def make() -> PostgresStore:
        opened.append(open_postgres(address, place_of(tmp_path, address), create=True))
        return opened[-1]

    yield make
    for store in opened:
        store.close()
    postgres.drop_schema("nodes")


def place_of(folder: Path, address: Address) -> Place:
    return Place(folder / "node", folder / "logs", "test", address=address)


def register(store: PostgresStore, host: str = "a", seat: str = "1", **fields: object) -> Node:
    values = {"boot_id": BOOT, "pid": 1, "fires": True, "slots": 4, "version": "1", "queues": None, **fields}
    return store.register(host=host, seat=seat, **values)  # type: ignore[arg-type]


def let_end(store: PostgresStore, node: Node) -> None:
    """Let the lease of a node be over."""
    store.connection.plain("UPDATE node SET lease_until = cronq_now() - 1 WHERE id = %s", (node.id,))


def find(store: PostgresStore, node: Node) -> Node | None:
    """Return a node among those that another one has to watch."""
    return next((other for other in store.others() if other.id == node.id), None)


def messages(store: PostgresStore) -> list[tuple[int, str, int]]:
    """Return (run, queue, priority) of the messages that wait."""
    found = store.connection.plain(
        "SELECT (args ->> 'run_id')::bigint, queue_name, priority FROM procrastinate_jobs"
        " WHERE status = 'todo' ORDER BY id"
    )
    return [(run, queue, priority) for run, queue, priority in found.fetchall()]


def test_node_has_a_lease_by_the_databases_clock(open_one: Open) -> None:
    store = open_one()
    node = register(store)
    assert node.lease_until - node.started_at == LEASE_S * 1_000_000
    now = store.beat()
    assert now is not None
    assert now >= node.started_at
    (after,) = store.nodes()
    assert after.lease_until - after.beat_at >= LEASE_S * 1_000_000
    assert after.beat_at == now


def test_claim_of_a_node_is_its_own_until_the_end(open_one: Open) -> None:
    one, two = open_one(), open_one()
    register(one, "a")
    register(two, "b")
    add(one, max_running=None, due=None)
    one.trigger(["job", "job"], now=NOW)
    (first,) = one.claim(["w1"], BOOT, now=NOW)
    (second,) = two.claim(["w2"], BOOT, now=NOW)
    assert first.run.id != second.run.id
    assert [held.claim.key for held in one.held()] == [first.key]
    assert [held.claim.key for held in two.held()] == [second.key]
    one.cancel(second.run.id, reason="by hand", now=NOW)
    assert one.stop_requests() == []
    assert two.stop_requests() == [(second.key, "by hand")]
    assert one.in_hand() == {one.node.id: 1, two.node.id: 1}
    one.record([AttemptStart(first.key, 1, NOW)], [AttemptEnd(first.key, Outcome.SUCCESS, NOW, exit_code=0)])
    assert one.held() == []


def test_node_whose_lease_ended_claims_nothing(open_one: Open) -> None:
    store = open_one()
    node = register(store)
    add(store, due=None)
    (run,) = store.trigger(["job"], now=NOW)
    let_end(store, node)
    with pytest.raises(StoreBusy, match="lease"):
        store.claim(["w"], BOOT, now=NOW)
    assert store.run(run.id).run.state is State.QUEUED
    assert store.beat() is not None  # nobody has noticed
    assert len(store.claim(["w"], BOOT, now=NOW)) == 1


def test_runs_of_a_lost_node_are_taken_over_once_and_it_can_write_nothing(open_one: Open) -> None:
    lost, one, two = open_one(), open_one(), open_one()
    node = register(lost, "lost")
    register(one, "a")
    register(two, "b")
    add(one, due=None)
    one.trigger(["job"], now=NOW)
    (claim,) = lost.claim(["w"], BOOT, now=NOW)
    assert one.take_over([]) == []
    assert one.take_over([node]) == [claim.key]
    (charge,) = one.charges()
    assert (charge.held.claim.key, charge.host, charge.seat) == (claim.key, "lost", "1")
    assert two.take_over([]) == []
    assert find(two, node) is None
    assert lost.beat() is None
    assert one.record([], [AttemptEnd(claim.key, Outcome.ABANDONED, NOW, retry_at=NOW)]) != []
    late = AttemptEnd(claim.key, Outcome.SUCCESS, NOW, exit_code=0)
    assert lost.record([AttemptStart(claim.key, 1, NOW)], [late]) == []
    (again,) = two.claim(["w"], BOOT, now=NOW)
    assert again.run.attempt == 2
    assert lost.record([], [late]) == []
    assert one.run(claim.run.id).run.state is State.RUNNING


def test_node_that_has_beaten_meanwhile_is_not_lost(open_one: Open) -> None:
    one, two = open_one(), open_one()
    node = register(one, "a")
    register(two, "b")
    add(one, due=None)
    one.trigger(["job"], now=NOW)
    assert len(one.claim(["w"], BOOT, now=NOW)) == 1
    assert one.beat() is not None
    assert two.take_over([node]) == []
    assert one.beat() is not None


def test_what_a_rescuer_took_is_taken_from_it_if_it_is_lost_too(open_one: Open) -> None:
    lost, one, two = open_one(), open_one(), open_one()
    nodes = [register(store, host) for store, host in ((lost, "lost"), (one, "a"), (two, "b"))]
    add(one, due=None)
    one.trigger(["job"], now=NOW)
    (claim,) = lost.claim(["w"], BOOT, now=NOW)
    assert len(one.take_over([nodes[0]])) == 1
    assert two.take_over([nodes[1]]) == [claim.key]


def test_dead_node_of_the_same_host_need_not_be_waited_for(open_one: Open) -> None:
    dead, one = open_one(), open_one()
    node = register(dead, "a", "1")
    register(one, "a", "2")
    add(one, due=None)
    one.trigger(["job"], now=NOW)
    (claim,) = dead.claim(["w"], BOOT, now=NOW)
    assert one.take_over([node]) == [claim.key]


def test_successor_in_a_seat_has_what_the_one_before_had_in_hand(open_one: Open) -> None:
    before, other, after = open_one(), open_one(), open_one()
    register(before, "a", "1")
    register(other, "b", "1")
    add(before, due=None)
    before.trigger(["job"], now=NOW)
    (claim,) = before.claim(["w"], BOOT, now=NOW)
    register(after, "a", "1")
    assert [held.claim.key for held in after.held()] == [claim.key]
    assert before.beat() is None
    assert other.take_over([]) == []


def test_node_that_left_with_something_in_hand_is_followed_by_others_when_its_lease_ends(
    open_one: Open,
) -> None:
    gone, one = open_one(), open_one()
    node = register(gone, "a")
    register(one, "b")
    add(one, due=None)
    one.trigger(["job"], now=NOW)
    (claim,) = gone.claim(["w"], BOOT, now=NOW)
    gone.leave()
    assert find(one, node) is not None
    assert one.take_over([node]) == [claim.key]
    assert find(one, node) is None


def test_worker_of_a_queue_claims_from_no_other(open_one: Open) -> None:
    store = open_one()
    add(store, "small", due=None)
    add(store, "big", due=None, queue="gpu")
    store.trigger(["small", "big"], now=NOW)
    store.queues = ("gpu",)
    assert [claim.run.job for claim in claim_all(store, now=NOW)] == ["big"]
    store.queues = ("default", "other")
    assert [claim.run.job for claim in claim_all(store, now=NOW)] == ["small"]


def test_long_queue_is_read_page_by_page_in_its_order(open_one: Open) -> None:
    store = open_one()
    add(store, "full", due=None, max_running=1)
    add(store, "late", due=None, max_running=None)
    add(store, "first", due=None, max_running=None, priority=5)
    store.trigger(["full"] * 200, now=NOW)
    store.trigger(["late"] * 200, now=NOW)
    store.trigger(["first"], now=NOW)
    claimed = [claim.run.job for claim in claim_all(store, 150, now=NOW)]
    assert claimed == ["first", "full", *["late"] * 148]


def run_with_retry(store: PostgresStore, retry_at: Micros) -> int:
    """Let a run fail that is tried again at an instant; return its number."""
    add(store, due=None)
    store.trigger(["job"], now=NOW)
    (claim,) = store.claim(["w"], BOOT, now=NOW)
    store.record([], [AttemptEnd(claim.key, Outcome.FAILURE, NOW, exit_code=1, retry_at=retry_at)])
    return claim.run.id


def test_step_of_the_databases_clock_is_followed_once_whoever_notices(open_one: Open) -> None:
    one, two = open_one(), open_one()
    register(one, "a")
    register(two, "b")
    run_id = run_with_retry(one, NOW + 5 * MINUTE)
    back = NOW - 60 * MINUTE
    assert one.follow_clock_back(NOW, now=back) == 1
    assert two.follow_clock_back(NOW + 3, now=back + 2) == 0
    assert one.run(run_id).run.available_at == back + 5 * MINUTE
    assert two.follow_clock_back(None, now=back) == 0
    assert two.follow_clock_back(back + 10 * MINUTE, now=back + 3 * MINUTE) == 1


def test_two_who_notice_a_step_at_the_same_moment_follow_it_once(open_one: Open) -> None:
    """Each of them waits for its turn before it asks whether the other was faster."""
    one, two, keeper = open_one(), open_one(), open_one()
    register(one, "a")
    register(two, "b")
    run_id = run_with_retry(one, NOW + 5 * MINUTE)
    back = NOW - 60 * MINUTE
    with ThreadPoolExecutor() as threads:
        with keeper.together():
            keeper.set_fact("who", "keeps the turn")
            followed = [threads.submit(store.follow_clock_back, NOW, now=back) for store in (one, two)]
            wait_until(lambda: waiting(keeper) == 2, "both wait for their turn")
        assert sorted(one.result() for one in followed) == [0, 1]
    assert one.run(run_id).run.available_at == back + 5 * MINUTE


def waiting(store: PostgresStore) -> int:
    """Return how many sessions wait for an advisory lock."""
    found = store.connection.plain(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    )
    return int(found.fetchall()[0][0])


def test_only_nodes_that_are_gone_are_forgotten(open_one: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cronq.store.postgres.nodes.KEPT_NODES", 1)
    living, gone, *others = (open_one() for _ in range(4))
    register(living, "living")
    register(gone, "gone")
    gone.leave()
    for number, store in enumerate(others):
        register(store, f"other{number}")
    assert living.beat() is not None
    hosts = living.connection.plain("SELECT host FROM node ORDER BY id").fetchall()
    assert [host for (host,) in hosts] == ["living", "other0", "other1"]


def test_older_zone_data_of_one_host_change_nothing(open_one: Open) -> None:
    store = open_one()
    store.set_fact(FACT, "2026b")
    (told,) = follow_zone_data(store, NOW, "2025a", is_alone=False)
    assert "older" in told
    assert store.fact(FACT) == "2026b"
    assert follow_zone_data(store, NOW, "2026c", is_alone=False) == []
    assert store.fact(FACT) == "2026c"


# Messages


def test_message_goes_with_its_run(open_one: Open) -> None:
    store = open_one()
    add(store, due=None, queue="gpu", priority=7)
    (run,) = store.trigger(["job"], now=NOW)
    assert messages(store) == [(run.id, "gpu", 7)]
    with pytest.raises(JobNotFound):
        store.trigger(["job", "unknown"], now=NOW)
    with pytest.raises(RunNotFound), store.together():  # noqa: PT012
        store.trigger(["job"], now=NOW)
        store.cancel(99, reason="there is none", now=NOW)
    assert len(messages(store)) == 1


def test_message_of_a_run_that_waits_is_sent_when_it_is_available(open_one: Open) -> None:
    store = open_one()
    register(store)
    add(store, due=None)
    store.trigger(["job"], now=LATER)
    assert messages(store) == []
    assert store.send_waiting(NOW) == 0
    assert store.send_waiting(LATER) == 1
    assert store.send_waiting(LATER) == 0
    assert len(messages(store)) == 1


def test_retry_gets_a_message_of_its_own(open_one: Open) -> None:
    store = open_one()
    register(store)
    add(store, due=None)
    store.trigger(["job"], now=NOW)
    store.connection.plain("DELETE FROM procrastinate_jobs")
    (claim,) = store.claim(["w"], BOOT, now=NOW)
    store.record([], [AttemptEnd(claim.key, Outcome.FAILURE, NOW, exit_code=1, retry_at=NOW)])
    assert [run for run, _, _ in messages(store)] == [claim.run.id]


def test_lost_message_is_replaced_and_a_live_one_is_not(open_one: Open) -> None:
    store = open_one()
    register(store)
    add(store, due=None, max_running=None)
    first, second = store.trigger(["job", "job"], now=NOW)
    store.connection.plain(
        "DELETE FROM procrastinate_jobs WHERE (args ->> 'run_id')::bigint = %s", (first.id,)
    )
    assert store.mend_wire(NOW) == 0  # not yet
    assert store.mend_wire(NOW + MINUTE) == 1
    assert store.mend_wire(NOW + MINUTE) == 0
    assert sorted(run for run, _, _ in messages(store)) == [first.id, second.id]


def test_run_that_could_not_start_anyway_gets_no_new_message(open_one: Open) -> None:
    store = open_one()
    register(store)
    add(store, due=None, max_running=1)
    add(store, "held", due=None)
    store.trigger(["job", "job"], now=NOW)
    assert len(store.claim(["w"], BOOT, now=NOW)) == 1
    store.connection.plain("DELETE FROM procrastinate_jobs")
    assert store.mend_wire(NOW + MINUTE) == 0


def test_message_of_a_dead_worker_is_removed_and_replaced(open_one: Open) -> None:
    store = open_one()
    register(store)
    add(store, due=None)
    (run,) = store.trigger(["job"], now=NOW)
    store.connection.plain("UPDATE procrastinate_jobs SET status = 'doing'")
    assert store.mend_wire(NOW + MINUTE) == 1
    assert [number for number, _, _ in messages(store)] == [run.id]


def test_message_that_is_held_in_vain_is_doubled_once(open_one: Open) -> None:
    """By a node that stands still: its child lives, and says so, but nobody claims."""
    store = open_one()
    register(store)
    add(store, due=None)
    (run,) = store.trigger(["job"], now=NOW)
    store.connection.plain(
        "WITH worker AS (INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id)"
        " UPDATE procrastinate_jobs SET status = 'doing', worker_id = worker.id FROM worker"
    )
    assert store.mend_wire(NOW) == 0
    assert store.mend_wire(NOW + MINUTE) == 1
    assert store.mend_wire(NOW + MINUTE) == 0
    assert [number for number, _, _ in messages(store)] == [run.id]


def test_end_of_a_pause_and_another_queue_send_new_messages(open_one: Open) -> None:
    store = open_one()
    job = add(store)
    (run,) = store.trigger([job.name], now=NOW)
    store.connection.plain("DELETE FROM procrastinate_jobs")
    pause(store, "job")
    assert messages(store) == []
    resume(store, "job")
    assert [number for number, _, _ in messages(store)] == [run.id]
    remove(store, "job")
    assert store.runs(RunQuery())[0][0].state is State.DONE


def test_people_who_write_are_no_node(open_one: Open) -> None:
    store = open_one()
    register(store)
    with closing(open_one()) as people:
        add(people, due=None)
        people.trigger(["job"], now=NOW)
        assert people.held() == []
    store.claim(["w"], BOOT, now=NOW)
    assert len(store.held()) == 1
