"""One definition in the database that this program did not write: its job is set aside, the others go on."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from cronq.errors import DefinitionUnreadable
from cronq.events import Notice
from cronq.model import Outcome, State
from tests.simulation.conftest import ON_BOTH
from tests.simulation.world import Played, World, utc

Worlds = Callable[..., World]

pytestmark = ON_BOTH


def break_definition(w: World, name: str, revision: int = 1) -> None:
    which = "WHERE revision = ? AND job_id = (SELECT id FROM job WHERE name = ?)"
    row = w.database.execute(f"SELECT document FROM definition {which}", (revision, name)).fetchone()
    document = json.dumps(json.loads(row[0]) | {"retries": "many"})
    w.database.execute(f"UPDATE definition SET document = ? {which}", (document, revision, name))


def errors_told(w: World) -> list[str]:
    return [event.message for event in w.told if isinstance(event, Notice) and event.level == "error"]


def test_a_due_job_with_an_unreadable_definition_is_paused_and_the_others_go_on(world: Worlds) -> None:
    w = world()
    for name in ("a", "sick", "b"):
        w.add(name, "* * * * *")
    w.run_until(utc("2026-03-02T00:01:30"))
    break_definition(w, "sick")
    w.run_until(utc("2026-03-02T00:05:30"))
    w.check(["a", "b"])
    for name in ("a", "b"):
        assert [run.outcome for run in w.rows(name)] == [Outcome.SUCCESS] * 5
    assert len(w.rows("sick")) == 1
    assert [one.job.name for one in w.store.overviews()] == ["a", "b"]
    assert [error.job for error in w.store.unreadable()] == ["sick"]
    (told,) = errors_told(w)
    assert told.startswith(
        "sick: paused, the definition of `sick` in the database cannot be read: retries is"
    )
    with pytest.raises(DefinitionUnreadable, match="definition of `sick`"):
        w.store.job("sick")


def test_a_queued_run_with_an_unreadable_definition_is_not_started(world: Worlds) -> None:
    w = world()
    for name in ("a", "sick"):
        w.add(name, "@yearly")
        w.store.trigger([name], now=w.clock.now())
    break_definition(w, "sick")
    w.run_until(utc("2026-03-02T00:00:30"))
    assert [run.outcome for run in w.rows("a")] == [Outcome.SUCCESS]
    (run,) = w.rows("sick")
    assert (run.outcome, run.reason, run.attempt) == (Outcome.SKIPPED, "its definition cannot be read", 0)
    assert len(errors_told(w)) == 1


def test_a_running_run_with_an_unreadable_definition_is_looked_after(world: Worlds) -> None:
    w = world(play=lambda _: Played(60))
    w.add("sick", "@yearly")
    w.store.trigger(["sick"], now=w.clock.now())
    w.run_until(utc("2026-03-02T00:00:30"))
    assert w.rows("sick")[0].state is State.RUNNING
    break_definition(w, "sick")
    w.run_until(utc("2026-03-02T00:02:00"))
    assert w.rows("sick")[0].outcome is Outcome.SUCCESS


def test_a_start_up_job_with_an_unreadable_definition_stops_nobody(world: Worlds) -> None:
    w = world()
    w.add("sick", "@reboot")
    w.add("well", "@reboot")
    break_definition(w, "sick")
    w.run_until(utc("2026-03-02T00:00:30"))
    assert [run.outcome for run in w.rows("well")] == [Outcome.SUCCESS]
    assert [run.outcome for run in w.rows("sick")] == [Outcome.SKIPPED]


def test_an_unreadable_job_is_removed_with_what_is_known_of_it(world: Worlds) -> None:
    w = world()
    job = w.add("sick", "* * * * *")
    w.store.trigger(["sick"], now=w.clock.now())
    break_definition(w, "sick")
    w.store.remove_unreadable(job.id, now=utc("2026-03-02T00:01:30"))
    queued, due = w.rows("sick")
    assert (queued.outcome, queued.reason) == (Outcome.SKIPPED, "removed")
    assert (due.fire_at, due.reason) == (utc("2026-03-02T00:01:00"), "its schedule could not be computed")
    assert w.store.totals().jobs == 0
    assert w.add("sick", "* * * * *").id != job.id, "the name is not free again"
