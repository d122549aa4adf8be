"""Why a fire time ran, ran late or did not run: asked of ledgers that the real scheduler wrote."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cronq.clock import datetime_from_us
from cronq.evidence import gather, past_named
from cronq.model import SECOND, CatchUp, Outcome, Overlap
from cronq.why.explain import explain
from cronq.why.facts import Answer, Reason
from tests.simulation.conftest import ON_BOTH
from tests.simulation.world import Played, World, utc

Worlds = Callable[..., World]

pytestmark = ON_BOTH


def why(w: World, name: str, at: str | None = None, *, alive: bool = True) -> Answer:
    asked = None if at is None else utc(f"2026-03-02T{at}")
    with w.store.reading():
        past = past_named(w.store, name, asked)
        facts = gather(w.store, past, asked, w.clock.wall, alive=alive, changes=lambda *_: ["something"])
    return explain(facts)


def codes(reasons: tuple[Reason, ...]) -> list[str]:
    return [reason.code for reason in reasons]


def text(reasons: tuple[Reason, ...], code: str) -> str:
    (found,) = [reason for reason in reasons if reason.code == code]
    return "".join(
        f"{datetime_from_us(part):%H:%M:%S}" if isinstance(part, int) else part for part in found.parts
    )


def stopped(w: World, wall: str) -> None:
    """Let a scheduler live until then, and end by itself."""
    w.run_until(utc(f"2026-03-02T{wall}"))
    life = w.store.lives(w.clock.wall, w.clock.wall)[-1]
    w.store.scheduler_stopped(life.id, now=w.clock.wall)


def test_on_time_and_what_comes_next(world: Worlds) -> None:
    w = world()
    w.add("job", "*/10 * * * *")
    w.run_until(utc("2026-03-02T00:25:00"))
    answer = why(w, "job")
    assert (answer.verdict, codes(answer.reasons)) == ("success", ["on_time", "attempt"])
    assert text(answer.ahead, "next") == "its next fire time is 00:30:00, in 5m"


def test_late_because_the_scheduler_had_been_stopped(world: Worlds) -> None:
    w = world()
    w.add("job", "*/10 * * * *")
    stopped(w, "00:12:00")
    w.be_down_until(utc("2026-03-02T00:21:00"))
    w.run_until(utc("2026-03-02T00:29:00"))
    answer = why(w, "job")
    assert answer.verdict == "success"
    assert text(answer.reasons, "no_scheduler") == "no scheduler was running from 00:12:00 to 00:21:00"


def test_missed_because_the_scheduler_was_killed(world: Worlds) -> None:
    w = world()
    w.add("job", "*/10 * * * *", catch_up=CatchUp.SKIP)
    w.run_until(utc("2026-03-02T00:12:00"))
    w.be_down_until(utc("2026-03-02T00:45:00"))
    w.run_until(utc("2026-03-02T00:46:00"))
    answer = why(w, "job", "00:30:00")
    assert answer.verdict == "missed"
    assert codes(answer.reasons) == ["together", "misfire", "catch_up", "scheduler_killed"]
    assert "had started at 00:00:00" in text(answer.reasons, "scheduler_killed")
    assert "the next one started at 00:45:00" in text(answer.reasons, "scheduler_killed")


def test_late_because_the_clock_was_set_forward(world: Worlds) -> None:
    w = world()
    w.add("job", "*/10 * * * *")
    w.clock.after(300, lambda: w.clock.step(1_000))
    w.run_until(utc("2026-03-02T00:29:00"))
    assert "scheduler_late" in codes(why(w, "job", "00:20:00").reasons)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"catch_up": CatchUp.ALL, "catch_up_window_s": 600.0}, "catch_up_window"),
        ({"catch_up": CatchUp.ALL, "catch_up_limit": 1}, "catch_up_limit"),
        ({"catch_up": CatchUp.LATEST}, "superseded_by"),
    ],
)
def test_missed_by_each_policy_of_catching_up(world: Worlds, fields: dict[str, object], code: str) -> None:
    w = world()
    w.add("job", "*/10 * * * *", None, **fields)
    w.be_down_until(utc("2026-03-02T00:45:00"))
    w.run_until(utc("2026-03-02T00:46:00"))
    answer = why(w, "job", "00:10:00")
    assert answer.verdict == "missed"
    assert code in codes(answer.reasons)
    assert "no_scheduler" in codes(answer.reasons)


def test_late_because_of_retries_and_each_attempt_is_told(world: Worlds) -> None:
    w = world(play=lambda claim: Played(2, Outcome.SUCCESS if claim.run.attempt == 2 else Outcome.FAILURE))
    w.add("job", "0 * * * *", retries=1, retry_delay_s=10.0)
    w.run_until(utc("2026-03-02T01:30:00"))
    answer = why(w, "job")
    assert codes(answer.reasons) == ["on_time", "attempt", "attempt"]
    assert ["failure" in str(r.parts) for r in answer.reasons] == [False, True, False]


def test_late_because_others_were_running(world: Worlds) -> None:
    w = world(slots=1, play=lambda _: Played(60))
    w.add("first", "0 * * * *", priority=5)
    w.add("second", "0 * * * *")
    w.run_until(utc("2026-03-02T01:30:00"))
    answer = why(w, "second")
    assert codes(answer.reasons) == ["late", "queued", "busy", "attempt"]
    assert "first #" in text(answer.reasons, "busy")


def test_late_because_of_a_lock(world: Worlds) -> None:
    w = world(play=lambda _: Played(60))
    w.store.set_lock("db", 1, now=w.born)
    w.add("first", "0 * * * *", locks=("db",), priority=5)
    w.add("second", "0 * * * *", locks=("db",))
    w.run_until(utc("2026-03-02T01:00:30"))
    answer = why(w, "second")
    assert answer.verdict == "queued"
    assert "it waits for lock db, held by first #" in text(answer.ahead, "queued")
    w.run_until(utc("2026-03-02T01:30:00"))
    assert "it needs db, which first #" in text(why(w, "second").reasons, "lock")


def test_late_because_its_own_run_was_not_done(world: Worlds) -> None:
    w = world(play=lambda _: Played(900))
    w.add("job", "*/10 * * * *", overlap=Overlap.QUEUE, max_queued=1)
    w.run_until(utc("2026-03-02T00:35:00"))
    assert codes(why(w, "job", "00:20:00").reasons) == ["late", "queued", "max_running", "running"]
    assert why(w, "job").verdict == "queued"


def test_skipped_because_the_queue_was_full(world: Worlds) -> None:
    w = world(play=lambda _: Played(7200))
    w.add("job", "*/10 * * * *", overlap=Overlap.QUEUE, max_queued=1)
    w.run_until(utc("2026-03-02T00:35:00"))
    answer = why(w, "job")
    assert (answer.verdict, codes(answer.reasons)) == ("skipped", ["queue_full", "active", "active"])
    assert "1 of the job may run at a time, and 1 do" in text(answer.ahead, "queued")


def test_skipped_because_a_run_was_active(world: Worlds) -> None:
    w = world(play=lambda _: Played(900))
    w.add("job", "*/10 * * * *")
    w.run_until(utc("2026-03-02T00:22:00"))
    answer = why(w, "job")
    assert (answer.verdict, codes(answer.reasons)) == ("skipped", ["overlap", "active"])
    assert text(answer.reasons, "active").endswith("was running since 00:10:00")


def test_late_because_of_jitter_or_a_blackout(world: Worlds) -> None:
    w = world()
    w.add("jitter", "0 1 * * *", jitter="30m")
    w.add("held", "30 2 * * *", blackouts=("02:00-04:00:defer",))
    w.add("dropped", "30 2 * * *", blackouts=("02:00-04:00:drop",))
    w.run_until(utc("2026-03-02T03:00:00"))
    assert "held_back" in codes(why(w, "held").ahead)
    w.run_until(utc("2026-03-02T05:00:00"))
    assert codes(why(w, "jitter").reasons) == ["late", "jitter", "attempt"]
    assert text(why(w, "held").reasons, "blackout").endswith("held it until 04:00:00")
    dropped = why(w, "dropped")
    assert (dropped.verdict, codes(dropped.reasons)) == ("skipped", ["blackout"])


def test_paused_then_and_paused_now(world: Worlds) -> None:
    w = world()
    w.add("job", "*/10 * * * *")
    w.pause("job")
    w.run_until(utc("2026-03-02T00:25:00"))
    now = why(w, "job")
    assert (now.verdict, codes(now.reasons), "paused" in codes(now.ahead)) == ("due", ["paused"], True)
    w.resume("job")
    then = why(w, "job", "00:10:00")
    assert (then.verdict, codes(then.reasons)) == ("skipped", ["together", "paused"])


def test_cancelled_and_replaced(world: Worlds) -> None:
    w = world(play=lambda _: Played(900))
    w.add("job", "*/10 * * * *", overlap=Overlap.REPLACE)
    w.run_until(utc("2026-03-02T00:22:00"))
    answer = why(w, "job", "00:10:00")
    assert answer.verdict == "cancelled"
    assert "replaced by run" in text(answer.reasons, "cancelled")


def test_what_a_clock_change_did_is_told(world: Worlds) -> None:
    w = world("2026-03-28T12:00:00")
    w.add("job", "30 2 * * *", tz="Europe/Berlin")
    w.run_until(utc("2026-03-29T12:00:00"))
    assert text(why(w, "job").reasons, "note") == "moved from 02:30 (clock change)"


def test_pruned_and_unaccounted(world: Worlds) -> None:
    w = world()
    w.add("job", "*/10 * * * *")
    w.run_until(utc("2026-03-02T00:25:00"))
    w.database.execute("DELETE FROM run WHERE fire_at < ?", (utc("2026-03-02T00:15:00"),))
    assert why(w, "job", "00:10:00").verdict == "unaccounted"
    w.database.execute("UPDATE job SET pruned_before = ?", (utc("2026-03-02T00:15:00"),))
    assert why(w, "job", "00:10:00").verdict == "pruned"


def test_an_older_definition_is_named(world: Worlds) -> None:
    w = world()
    w.add("job", "*/10 * * * *")
    w.run_until(utc("2026-03-02T00:25:00"))
    w.set("job", schedule="*/7 * * * *")
    w.run_until(utc("2026-03-02T01:00:00"))
    answer = why(w, "job", "00:14:00")
    assert codes(answer.absent) == ["older_revision", "changed", "schedule", "before", "after"]
    assert why(w, "job", "00:28:00").absent == ()
    assert codes(why(w, "job", "00:30:00").absent) == ["schedule", "before", "after"]


def test_a_namesake_that_was_removed_answers_for_its_time(world: Worlds) -> None:
    w = world()
    w.add("job", "*/10 * * * *")
    w.run_until(utc("2026-03-02T00:15:00"))
    w.remove("job")
    w.clock.after(600, lambda: None)
    w.clock.wait(None)
    w.add("job", "*/7 * * * *")
    w.run_until(utc("2026-03-02T00:40:00"))
    assert why(w, "job", "00:10:00").verdict == "success"
    assert "removed" in codes(why(w, "job", "00:10:00").ahead)
    assert why(w, "job", "00:28:00").verdict == "success"


def test_without_a_scheduler_what_is_due_says_so(world: Worlds) -> None:
    w = world()
    w.add("job", "*/10 * * * *")
    w.be_down_until(w.born + 900 * SECOND)
    answer = why(w, "job", alive=False)
    assert (answer.verdict, codes(answer.reasons), codes(answer.ahead)) == (
        "due",
        ["due"],
        ["due", "no_scheduler"],
    )
