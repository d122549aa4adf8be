"""`cronq db`: which database, bringing it up to date, and the way from one into another and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from cronq import lock
from cronq.errors import ConflictError, ExitCode, StoreUnreachable
from cronq.model import Outcome
from cronq.seat import Seats
from cronq.store import Place, find_place
from cronq.store.connection import SCHEMA_VERSION
from cronq.store.copying import TABLES, Row
from cronq.store.moved import refuse_moved
from cronq.store.postgres.copying import PostgresEnd
from cronq.store.postgres.store import PostgresStore
from tests.cli.conftest import PASSWORD
from tests.cli.world import World

JSON = "--json"


def lived(world: World) -> World:
    """Give a ledger a history: done, failed, removed, pruned, queued; calendars and locks."""
    world.run("add", "backup", "every 1h", "--retries", "1", "--lock", "db:2", "--", "true")
    world.run("add", "gone", "@daily", "--", "true")
    world.run("add", "first", "@reboot", "--", "true")
    (world.root / "work" / "free.txt").write_text("2026-12-25 Christmas\n")
    assert world.run("calendars", "add", "free", "free.txt").code == 0
    for outcome, reason in ((Outcome.SUCCESS, ""), (Outcome.FAILURE, "exit 3")):
        world.run("trigger", "backup")
        world.play(outcome, 2.0, reason, "it said\n" * 10_000)
        world.sleep(3600)
        world.tick()
    world.run("remove", "gone")
    for _ in range(3):
        world.run("trigger", "backup")
    # The last number was given to a run that is gone.
    last = json.loads(world.run("runs", JSON, tty=False).out)["runs"][0]["id"]
    world.run("cancel", str(last))
    store = world.store()
    (history,) = store.histories(["backup"])
    store.prune(history.id, [last])
    store.close()
    return world


def listing(world: World, *arguments: str) -> list[str]:
    """Return what commands tell of a ledger."""
    asked = (
        ("runs", "-n", "1000"), ("show", "backup"), ("export",), ("calendars",), ("lock",), ("audit",),
        ("logs", "1"),
    )  # fmt: skip
    return [world.run(*words, JSON, *arguments, tty=False).out for words in asked]


def rows(path: Path) -> dict[str, list[Any]]:
    """Return all rows of a database file, but for facts that are the place's own."""
    with closing(sqlite3.connect(path)) as database:
        there = {name for (name,) in database.execute("SELECT name FROM sqlite_schema")}
        return {
            table.name: database.execute(
                f"SELECT * FROM {table.name}"
                + (" WHERE name <> 'moved_to'" if table.name == "fact" else "")
                + f" ORDER BY {', '.join(table.key)}"
            ).fetchall()
            for table in TABLES
            if table.name in there
        }


def test_url_tells_of_a_file(world: World) -> None:
    assert "format    none yet" in world.run("db").out
    world.run("add", "hello", "every 1h", "--", "true")
    answer = world.run("db", "url", JSON, tty=False)
    document = json.loads(answer.out)["database"]
    assert document.pop("server").startswith("SQLite 3.")
    assert document == {
        "address": "/home/.local/share/cronq/cronq.db",
        "kind": "sqlite",
        "rule": "user default",
        "schema": None,
        "format": SCHEMA_VERSION,
        "newest_format": SCHEMA_VERSION,
        "moved_to": None,
    }


def test_url_tells_of_a_server_and_not_the_password(server_world: World) -> None:
    answer = server_world.run("db", "url")
    assert answer.code == 0
    assert "format    none yet" in answer.out
    assert "server    PostgreSQL 1" in answer.out
    assert "found by  CRONQ_DB" in answer.out
    assert PASSWORD not in answer.out + answer.err
    assert server_world.run("db", "migrate").out.endswith(" · format there was none → 1\n")
    document = json.loads(server_world.run("db", "url", JSON, tty=False).out)["database"]
    assert (document["kind"], document["format"], document["moved_to"]) == ("postgresql", 1, None)
    assert document["schema"].startswith("cli")


def test_migrate_says_when_there_is_nothing_to_do(world: World, server_world: World) -> None:
    assert server_world.run("db", "migrate").code == 0
    assert server_world.run("db", "migrate").out.startswith("nothing to do: postgresql://cronq@/")
    del world.variables["CRONQ_DB"]
    assert world.run("db", "migrate").out.startswith("migrated ~/.local/share/cronq/cronq.db · format there")
    assert world.run("db", "migrate").out.startswith("nothing to do: ~/.local")


def test_migrate_refuses_a_newer_one(server_world: World) -> None:
    server_world.run("db", "migrate")
    store = server_world.store()
    store.set_fact("format", "99")
    store.close()
    for words in (("db", "migrate"), ("list",), ("db", "move", "file.db")):
        answer = server_world.run(*words)
        assert answer.code == ExitCode.STORE
        assert "was written by a newer cronq (format 99" in answer.err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("db", "what"), "`what` is not url"),
        (("db", "move"), "URL is missing"),
        (("db", "url", "--wait"), "--wait is for `cronq db move`"),
        (("db", "move", "--forget", "--plan"), "--forget takes nothing else"),
        (("db", "move", "other.db", "--logs"), "--logs is for the way from a file into a server"),
    ],
)
def test_what_cannot_be_meant_is_refused(world: World, words: tuple[str, ...], error: str) -> None:
    answer = world.run(*words)
    assert answer.code == ExitCode.USAGE
    assert error in answer.err


def test_there_and_back_is_the_same_ledger(world: World, url: str) -> None:
    before = listing(lived(world))
    database = find_place(None, world.environ, world.root / "work").database
    had = rows(database)
    answer = world.run("db", "move", url, "--logs")
    assert answer.code == 0, answer.err
    assert "verified: " in answer.err
    assert "with the output of 2 attempts" in answer.err
    assert PASSWORD not in answer.out + answer.err
    assert rows(database) == had
    assert listing(world, "--db", url) == before
    back = world.run("--db", url, "db", "move", "back.db")
    assert back.code == 0, back.err
    assert rows(world.root / "work" / "back.db") == had
    assert listing(world, "--db", "back.db") == before
    first = next(run["id"] for run in json.loads(before[0])["runs"] if run["outcome"] == "success")
    assert world.run("--db", "back.db", "logs", str(first), tty=False).out == "it said\n" * 10_000


def test_numbers_are_not_given_again(world: World, url: str) -> None:
    lived(world)
    database = find_place(None, world.environ, world.root / "work").database
    with closing(sqlite3.connect(database)) as connection:
        given = dict(connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
        ((highest,),) = connection.execute("SELECT max(id) FROM run").fetchall()
    assert given["run"] > highest
    assert world.run("db", "move", url).code == 0
    assert world.run("--db", url, "db", "move", "back.db").code == 0
    for place in (url, "back.db"):
        assert world.run("--db", place, "trigger", "backup", "-q").out == f"{given['run'] + 1}\n"


def test_from_server_to_server(world: World, url: str) -> None:
    lived(world)
    assert world.run("db", "move", url, "--logs").code == 0
    store = _server_store(world, url)
    store.connection.plain("UPDATE attempt SET host = 'web1' WHERE attempt = 1")
    store.close()
    other = url + "x"
    answer = world.run("--db", url, "db", "move", other)
    assert answer.code == 0, answer.err
    assert listing(world, "--db", other) == listing(world, "--db", url)
    store = _server_store(world, other)
    try:
        assert store.connection.plain("SELECT DISTINCT host FROM attempt").fetchall() == [("web1",)]
        assert store.connection.plain("SELECT count(*) FROM output WHERE position = 0").fetchone() == (2,)
    finally:
        store.connection.plain(f"DROP SCHEMA {store.connection.address.schema} CASCADE")
        store.close()


def test_the_way_back_says_that_hosts_are_lost(server_world: World) -> None:
    lived(server_world)
    store = _server_store(server_world, server_world.variables["CRONQ_DB"])
    store.connection.plain("UPDATE attempt SET host = 'web1' WHERE attempt = 1")
    store.close()
    answer = server_world.run("db", "move", "back.db")
    assert "note: on which host 2 attempts ran is not known there" in answer.err


def seat_with_logs(world: World) -> Place:
    """Let the logs that were written be those of a node on this host; return its seat."""
    place = find_place(None, world.environ, world.root / "work")
    store = _server_store(world, world.variables["CRONQ_DB"])
    seat = Seats(place, store.ledger, world.environ).take("fires *")
    store.close()
    seat.hold()
    place.logs.rename(seat.place.logs)
    return seat.place


def test_logs_of_nodes_on_this_host_come_along(server_world: World) -> None:
    lived(server_world)
    seat_with_logs(server_world)
    answer = server_world.run("db", "move", "back.db")
    assert "with the output of 2 attempts\nnote: logs that are only on other hosts stay there\n" in answer.err
    del server_world.variables["CRONQ_DB"]
    assert server_world.run("--db", "back.db", "logs", "1", tty=False).out == "it said\n" * 10_000


def test_a_log_that_is_whole_on_this_host_comes_before_what_the_server_has_of_it(server_world: World) -> None:
    lived(server_world)
    seat = seat_with_logs(server_world)
    logs = sorted(seat.logs.rglob("*.1.log"))
    other = int(logs[1].name.partition(".")[0])
    logs[1].unlink()  # as if it were on another host
    store = _server_store(server_world, server_world.variables["CRONQ_DB"])
    put = "INSERT INTO output (run_id, attempt, position, data) VALUES (%s, 1, %s, %s)"
    for run_id in (1, other):
        store.connection.plain(put, (run_id, 0, b"head"))
        store.connection.plain(put, (run_id, 5004, b"tail"))
    store.close()
    assert server_world.run("db", "move", "back.db").code == 0
    del server_world.variables["CRONQ_DB"]
    assert server_world.run("--db", "back.db", "logs", "1", tty=False).out == "it said\n" * 10_000
    text = server_world.run("--db", "back.db", "logs", str(other), tty=False).out
    assert text == "head\n[cronq: 5,000 bytes are left out here]\ntail"


def test_what_was_not_shipped_yet_goes_to_the_other_server(server_world: World) -> None:
    lived(server_world)
    seat_with_logs(server_world)
    other = server_world.variables["CRONQ_DB"] + "x"
    answer = server_world.run("db", "move", other)
    assert answer.code == 0, answer.err
    store = _server_store(server_world, other)
    try:
        found = store.connection.plain("SELECT run_id, sum(length(data)) FROM output GROUP BY 1").fetchall()
        assert [size for _, size in found] == [80_000, 80_000]
        assert store.connection.plain("SELECT count(*) FROM attempt WHERE is_shipped").fetchone() == (2,)
    finally:
        store.connection.plain(f"DROP SCHEMA {store.connection.address.schema} CASCADE")
        store.close()


def test_plan_changes_nothing(world: World, url: str) -> None:
    lived(world)
    answer = world.run("db", "move", url, "--plan", JSON, tty=False)
    document = json.loads(answer.out)
    assert document["plan"] is True
    assert document["moved"]["rows"]["job"] == 3
    assert PASSWORD not in answer.out
    assert world.run("--db", url, "list").code == ExitCode.STORE
    assert "moved to" not in world.run("db").out


def test_the_old_one_is_marked_until_it_is_said_to_count(world: World, url: str) -> None:
    lived(world)
    assert "was not moved" in world.run("db", "move", "--forget").out
    world.run("db", "move", url)
    assert "moved to" in world.run("db").out
    store = world.store()
    with pytest.raises(ConflictError, match="this ledger was moved to postgresql://cronq@/") as raised:
        refuse_moved(store)
    store.close()
    assert "--forget" in raised.value.hint
    assert PASSWORD not in str(raised.value)
    tick = world.run("tick", "--db", str(find_place(None, world.environ, world.root).database))
    assert (tick.code, "was moved to" in tick.err) == (ExitCode.CONFLICT, True)
    assert "counts again" in world.run("db", "move", "--forget").out
    store = world.store()
    refuse_moved(store)
    store.close()
    store = _server_store(world, url)
    refuse_moved(store)
    store.close()


def test_a_target_that_holds_something_is_refused(world: World, url: str) -> None:
    lived(world)
    world.run("--db", url, "lock", "gpu", "--holders", "2")
    answer = world.run("db", "move", url)
    assert answer.code == ExitCode.CONFLICT
    assert "is not empty: it holds 1 lock\n" in answer.err
    assert "moved to" not in world.run("db").out
    assert "the ledger is at" in world.run("--db", url, "db", "move", url).err


def test_a_scheduler_on_the_file_is_in_the_way(world: World, url: str) -> None:
    lived(world)
    place = find_place(None, world.environ, world.root / "work")
    release = lock.hold(place.lock)
    answer = world.run("db", "move", url)
    release()
    assert answer.code == ExitCode.CONFLICT
    assert "a scheduler runs for this database" in answer.err
    assert "moved to" not in world.run("db").out


def test_a_run_that_is_not_ended_is_in_the_way(world: World, server_world: World) -> None:
    lived(server_world)
    server_world.start()
    answer = server_world.run("db", "move", "back.db", "--wait")
    assert answer.code == ExitCode.CONFLICT
    assert "1 run not ended" in answer.err
    assert not (world.root / "work" / "back.db").exists()


def test_a_node_is_in_the_way_and_can_be_waited_for(
    server_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(server_world)
    store = _server_store(server_world, server_world.variables["CRONQ_DB"])
    put_node(store)
    answer = server_world.run("db", "move", "back.db")
    assert answer.code == ExitCode.CONFLICT
    assert "error: 1 node of this ledger at work\n  pid 4711 on web1\n" in answer.err
    leave = lambda _: store.connection.plain("UPDATE node SET stopped_at = 1")  # noqa: E731
    monkeypatch.setattr("cronq.moving.clock.sleep", leave)
    answer = server_world.run("db", "move", "back.db", "--wait")
    store.close()
    assert answer.code == 0, answer.err
    assert answer.err.startswith("waiting: 1 node of this ledger at work\n")


def test_what_fails_at_the_end_leaves_no_mark(
    world: World, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(world)

    def broken(_: object) -> None:
        raise ConflictError("broken")

    monkeypatch.setattr("cronq.store.postgres.copying.PostgresEnd.commit", broken)
    assert world.run("db", "move", url).code == ExitCode.CONFLICT
    monkeypatch.undo()
    assert "moved to" not in world.run("db").out
    assert world.run("db", "move", url).code == 0


def test_a_server_that_is_lost_at_the_end_leaves_the_mark(
    world: World, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(world)

    def lost(_: object) -> None:
        raise StoreUnreachable("lost")

    monkeypatch.setattr("cronq.store.postgres.copying.PostgresEnd.commit", lost)
    answer = world.run("db", "move", url)
    assert answer.code == ExitCode.STORE
    assert "whether the ledger arrived is not known" in answer.err
    assert "moved to" in world.run("db").out


def test_what_does_not_arrive_is_noticed(world: World, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lived(world)
    insert = PostgresEnd.insert

    def lossy(end: PostgresEnd, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        insert(end, table, columns, list(rows)[1:] if table == "attempt" else rows)

    monkeypatch.setattr(PostgresEnd, "insert", lossy)
    answer = world.run("db", "move", url)
    assert answer.code != 0
    assert "1 rows of `attempt` arrived, of 2" in answer.err
    monkeypatch.undo()
    assert "moved to" not in world.run("db").out
    assert world.run("--db", url, "list", "-q", tty=False).out == ""
    assert world.run("db", "move", url).code == 0


def put_node(store: PostgresStore, *, fires: bool = True) -> None:
    """Let a node be there for half a minute."""
    store.connection.plain(
        "INSERT INTO node (host, boot_id, seat, pid, fires, slots, version, started_at, beat_at, lease_until)"
        " VALUES ('web1', 'b', '1', 4711, %s, 4, '0', cronq_now() - 60000000, cronq_now(),"
        " cronq_now() + 30000000)",
        (fires,),
    )


def _server_store(world: World, url: str) -> PostgresStore:
    before = world.variables.get("CRONQ_DB")
    world.variables["CRONQ_DB"] = url
    try:
        return cast("PostgresStore", world.store())
    finally:
        world.variables.pop("CRONQ_DB")
        if before is not None:
            world.variables["CRONQ_DB"] = before
