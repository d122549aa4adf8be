"""`cronq backup`: what it answers about the copy; its size depends on the version of SQLite."""

from __future__ import annotations

import json
import re

from tests.cli.world import World


def test_backup_tells_where_and_how_much(world: World) -> None:
    world.run("add", "hello", "every 1h", "--", "true")
    world.run("trigger", "hello")
    answer = world.run("backup", "copy.db")
    assert re.fullmatch(r"copied to /work/copy.db · 1 job, 1 run, [0-9.]+[KM]\n", answer.out)
    assert answer.err == "back to it: cronq restore /work/copy.db\n"


def test_restore_where_the_database_has_vanished_keeps_and_promises_nothing(world: World) -> None:
    world.run("add", "hello", "every 1h", "--", "true")
    world.run("backup", "copy.db")
    database = next(world.root.rglob("cronq.db"))
    for path in database.parent.glob("cronq.db*"):
        if path.is_file():
            path.unlink()
    answer = world.run("restore", "copy.db", "--yes")
    assert answer.code == 0
    assert "kept" not in answer.err
    assert not list(database.parent.glob("cronq.db.replaced*"))
    assert "hello" in world.run("list").out


def test_backup_as_json(world: World) -> None:
    world.run("add", "hello", "every 1h", "--", "true")
    answer = world.run("backup", "copy.db", "--json", tty=False)
    document = json.loads(answer.out)["backup"]
    assert document.pop("bytes") == (world.root / "work" / "copy.db").stat().st_size
    assert document == {
        "path": "/work/copy.db",
        "jobs": 1,
        "runs": 0,
        "copied_at": "2026-01-02T08:00:00Z",
    }
    assert answer.err == ""
