"""What the statements do, to messages that nobody fetches."""

from __future__ import annotations

import pytest

from cronq.store.postgres import messages as sql
from tests.wire.conftest import Base, psycopg

PUT = f"SELECT {sql.put_expression(':run', ':queue', 'CAST(:priority AS bigint)')}"


def put(base: Base, run: int = 1, queue: str = "default", priority: int = 0) -> int:
    [(message,)] = base.ask(PUT, run=run, queue=queue, priority=priority)
    return int(message)


def live(base: Base, *ids: int) -> set[int]:
    return {row[0] for row in base.ask(sql.LIVE, ids=list(ids), stalled_s=30.0)}


def hold(base: Base, age_s: float | None) -> int:
    """Have a message held by a child that was last heard of so long ago, or that is gone."""
    message = put(base)
    worker = None
    if age_s is not None:
        [(worker,)] = base.ask(
            "INSERT INTO procrastinate_workers (last_heartbeat)"
            " VALUES (clock_timestamp() - make_interval(secs => :age)) RETURNING id",
            age=age_s,
        )
    base.ask(
        "UPDATE procrastinate_jobs SET status = 'doing', worker_id = :worker WHERE id = :id RETURNING id",
        worker=worker,
        id=message,
    )
    return message


def test_message_says_its_run_queue_and_priority(base: Base) -> None:
    message = put(base, 7, "gpu", 3)
    [row] = base.ask(
        "SELECT id, queue_name, task_name, priority, lock, queueing_lock, args, status, scheduled_at"
        " FROM procrastinate_jobs"
    )
    assert row == (message, "gpu", sql.TASK, 3, None, None, {"run_id": 7}, "todo", None)


@pytest.mark.parametrize(("given", "kept"), [(2**40, 2**31 - 1), (-(2**40), -(2**31)), (-5, -5)])
def test_priority_stays_within_its_column(base: Base, given: int, kept: int) -> None:
    put(base, priority=given)
    assert base.ask("SELECT priority FROM procrastinate_jobs") == [(kept,)]


def test_trigger_puts_messages_whatever_the_path_of_the_caller(base: Base) -> None:
    expression = sql.put_expression("NEW.id", "NEW.queue", "NEW.priority")
    base.connection.execute(f"""
        CREATE TABLE run (id bigint PRIMARY KEY, queue text, priority bigint, message bigint);
        CREATE FUNCTION put() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
        BEGIN NEW.message := {expression}; RETURN NEW; END $$;
        CREATE TRIGGER put BEFORE INSERT ON run FOR EACH ROW EXECUTE FUNCTION put();
    """)
    with psycopg.connect(base.conninfo) as elsewhere:
        elsewhere.execute(f"""INSERT INTO "{base.schema}".run VALUES (5, 'q', 1)""")
    [(message,)] = base.ask("SELECT message FROM run")
    assert base.ask("SELECT id, args FROM procrastinate_jobs") == [(message, {"run_id": 5})]


def test_longest_name_of_a_queue(base: Base) -> None:
    put(base, queue="q" * sql.LONGEST_QUEUE)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="channel name too long"):
        put(base, queue="q" * (sql.LONGEST_QUEUE + 1))


def test_live_are_those_that_wait_and_those_in_the_hands_of_the_living(base: Base) -> None:
    waiting, held = put(base), hold(base, 5)
    dead, orphaned = hold(base, 60), hold(base, None)
    assert live(base, waiting, held, dead, orphaned, 999) == {waiting, held}
    assert live(base) == set()


def test_dead_messages_are_buried_and_others_are_not(base: Base) -> None:
    waiting, held = put(base), hold(base, 5)
    dead, orphaned = hold(base, 60), hold(base, None)
    assert {row[0] for row in base.ask(sql.BURY_DEAD, stalled_s=30.0)} == {dead, orphaned}
    assert len(base.ask(sql.BURY_WORKERS, stalled_s=30.0)) == 1
    assert base.ask(sql.BURY_DEAD, stalled_s=30.0) == []
    assert {row[0] for row in base.ask("SELECT id FROM procrastinate_jobs")} == {waiting, held}


def test_withdrawing_takes_only_what_nobody_holds(base: Base) -> None:
    waiting, held = put(base), hold(base, 5)
    assert base.ask(sql.WITHDRAW, ids=[waiting, held, 999]) == [(waiting,)]
    assert base.ask("SELECT id FROM procrastinate_jobs") == [(held,)]
