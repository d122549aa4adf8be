"""A job whose definition in the database cannot be read: named by every listing, and only in its own way."""

from __future__ import annotations

import sqlite3

import pytest

from tests.cli.world import World

WORDS = "the definition of `sick` in the database cannot be read: "


@pytest.fixture
def sick(world: World) -> World:
    for name in ("well", "sick"):
        world.run("add", name, "@daily", "--", "true")
    db = sqlite3.connect(world.root / "home" / ".local" / "share" / "cronq" / "cronq.db")
    db.execute("UPDATE definition SET document = '{}' WHERE job_id = 2")
    db.commit()
    db.close()
    return world


def test_list_shows_the_others_and_names_it(sick: World) -> None:
    answer = sick.run("list", "-q")
    assert (answer.code, answer.out) == (0, "well\n")
    answer = sick.run("list")
    assert answer.code == 0
    assert f"warning: {WORDS}" in answer.err
    assert "cronq remove sick" in answer.err


@pytest.mark.parametrize(
    "arguments", [["show", "sick"], ["set", "sick", "@hourly"], ["pause", "sick"], ["list", "sick"]]
)
def test_commands_that_name_it_fail_with_words(sick: World, arguments: list[str]) -> None:
    answer = sick.run(*arguments)
    assert answer.code == 5
    assert answer.err.startswith(f"error: {WORDS}")


def test_it_can_be_removed_and_added_anew(sick: World) -> None:
    answer = sick.run("remove", "sick")
    assert (answer.code, answer.out) == (0, "removed sick · its history stays\n")
    assert sick.run("add", "sick", "@daily", "--", "true").code == 0
    assert sick.run("list", "-q").out.split() == ["sick", "well"]
