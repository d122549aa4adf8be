"""The proof of the ledger: clean after a random life, and not clean after any one change of a row."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cronq.audit import Kind
from cronq.errors import DefinitionUnreadable
from cronq.model import SECOND, CatchUp, Outcome, Overlap
from cronq.proof import Contradiction, Proof, prove
from cronq.rezone import follow_zone_data
from cronq.schedule.zones import tzdata_version
from cronq.store import Place
from cronq.store.sqlite import open_store
from tests.simulation.world import Played, World, utc

Worlds = Callable[..., World]

SCHEDULES = [
    "* * * * *",
    "*/7 * * * *",
    "every 90s",
    "0 * * * *",
    "30 2 * * *",
    "15,45 8-18 * * mon-fri",
    "0 9 * * *",
]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]


@pytest.mark.parametrize("number", range(3))
def test_a_random_life_is_proven_and_any_change_of_a_row_is_found(
    world: Worlds, tmp_path: Path, number: int
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    # Clocks change in Europe and America within the weeks from here.
    w = world("2026-10-20T00:00:00", play=lambda _: _played(rng))
    w.database.execute("PRAGMA synchronous = OFF")  # nobody pulls the plug here
    names = _lead_a_life(w, rng)
    w.check()
    assert len(names) >= 3
    w.store.close()
    for _ in range(12):
        changed = tmp_path / f"changed-{rng.random()}.db"
        shutil.copy(w.place.database, changed)
        told = _tamper(rng, changed)
        assert _total(changed, w.clock.wall), f"not found: {told}"
    w.store = open_store(w.place)


def _played(rng: random.Random) -> Played:
    outcome = rng.choice([Outcome.SUCCESS] * 4 + [Outcome.FAILURE, Outcome.TIMEOUT])
    return Played(rng.choice([1, 20, 200]), outcome)


def _fields(rng: random.Random) -> dict[str, object]:
    fields: dict[str, object] = {
        "tz": rng.choice(ZONES),
        "overlap": rng.choice(list(Overlap)),
        "catch_up": rng.choice(list(CatchUp)),
        "retries": rng.choice([0, 0, 2]),
        "retry_delay_s": 5.0,
        "calendars": rng.choice([(), (), ("team:skip",), ("team:next",)]),
    }
    if rng.random() < 0.3:
        fields["blackouts"] = ("02:00-04:00:drop",)
    return fields


def _calendar(rng: random.Random) -> str:
    days = sorted(rng.sample(range(20, 32), 3))
    return "".join(f"2026-10-{day} away\n" for day in days) + "2026-11-02 away\n"


def _lead_a_life(w: World, rng: random.Random) -> list[str]:
    w.store.set_calendar("team", _calendar(rng), now=w.clock.wall)
    names: list[str] = []
    for step in range(25):
        action = rng.randrange(9)
        alive = [overview.job.name for overview in w.store.overviews(recent=0)]
        name = rng.choice(alive) if alive else ""
        if step < 3 or action == 0:
            names.append(f"job{step}")
            w.add(names[-1], rng.choice(SCHEDULES), None, **_fields(rng))
        elif action == 1:
            w.set_calendar("team", _calendar(rng))
        elif action == 2 and name:
            w.set(name, schedule=rng.choice(SCHEDULES), tz=rng.choice(ZONES))
        elif action == 3 and name:
            w.set(name, timeout_s=rng.choice([None, 30.0]), calendars=rng.choice([(), ("team:previous",)]))
        elif action == 4 and name:
            if w.store.job(name).paused_at is None:
                w.pause(name)
            else:
                w.resume(name)
        elif action == 5 and len(alive) > 2:
            w.remove(name)
        elif action == 6:
            w.clock.step(rng.choice([-7200, -600, 600, 7200]) + rng.random())
        elif action == 7:
            w.be_down_until(w.clock.wall + rng.randint(1, 40) * 3600 * SECOND)
        w.run_until(w.clock.wall + rng.randint(1, 6_000) * SECOND)
    return names


def _total(database: Path, now: int) -> int:
    store = open_store(Place(database, database.parent / "logs", "test"))
    with closing(store):
        return sum(prove(store, job_id, now).total for job_id in store.ever())


TAMPERING = {
    "a definition is lost": (
        "revision < (SELECT revision FROM job WHERE id = job_id)",
        "DELETE FROM definition WHERE (job_id, revision) = (SELECT job_id, revision FROM run WHERE id = :id)",
    ),
    "a row is of another revision": (
        "fire_at IS NOT NULL AND revision < (SELECT revision FROM job WHERE id = job_id)",
        "UPDATE run SET revision = revision + 1 WHERE id = :id",
    ),
    "all is pruned": (
        "fire_at IS NOT NULL AND EXISTS (SELECT 1 FROM job WHERE id = job_id AND removed_at IS NULL)",
        "UPDATE job SET pruned_before = (SELECT max(last_fire_at) + 1 FROM run WHERE job_id = job.id)"
        " WHERE id = (SELECT job_id FROM run WHERE id = :id);"
        " DELETE FROM run WHERE fire_at IS NOT NULL AND job_id = (SELECT job_id FROM run WHERE id = :id)",
    ),
    "a job is younger": (
        "fire_at IS NOT NULL",
        "UPDATE job SET created_at = (SELECT last_fire_at FROM run WHERE id = :id)"
        " WHERE id = (SELECT job_id FROM run WHERE id = :id)",
    ),
    "a definition cannot be read": (
        "revision < (SELECT revision FROM job WHERE id = job_id)",
        "UPDATE definition SET document = '{}' WHERE (job_id, revision) ="
        " (SELECT job_id, revision FROM run WHERE id = :id)",
    ),
    "a row is lost": (
        "fire_at IS NOT NULL AND fire_at < (SELECT max(x.fire_at) FROM run x WHERE x.job_id = run.job_id)",
        "DELETE FROM run WHERE id = :id",
    ),
    "a fire time is another": (
        "fire_count = 1 AND fire_at IS NOT NULL",
        "UPDATE run SET fire_at = fire_at + 1000000, last_fire_at = last_fire_at + 1000000 WHERE id = :id",
    ),
    "a span begins earlier": ("fire_count > 1", "UPDATE run SET fire_at = fire_at - 1000000 WHERE id = :id"),
    "a span ends later": (
        "fire_count > 1",
        "UPDATE run SET last_fire_at = last_fire_at + 1000000 WHERE id = :id",
    ),
    "a span counts more": ("fire_count > 1", "UPDATE run SET fire_count = fire_count + 1 WHERE id = :id"),
    "a row is doubled": (
        "fire_count > 1",
        "INSERT INTO run (job_id, revision, trigger, logical_at, fire_at, last_fire_at, state, outcome,"
        " queued_at, available_at, finished_at) SELECT job_id, revision, trigger, last_fire_at, last_fire_at,"
        " last_fire_at, state, outcome, queued_at, available_at, finished_at FROM run WHERE id = :id",
    ),
    "a watermark is further": (
        "fire_at IS NOT NULL AND EXISTS (SELECT 1 FROM job WHERE id = job_id AND next_fire_at IS NOT NULL)",
        "UPDATE job SET next_fire_at = next_fire_at + 40 * 86400000000"
        " WHERE id = (SELECT job_id FROM run WHERE run.id = :id)",
    ),
    "an outcome is another": (
        "outcome IN ('success', 'failure')",
        "UPDATE run SET outcome = CASE outcome WHEN 'success' THEN 'failure' ELSE 'success' END"
        " WHERE id = :id",
    ),
    "a success is cancelled": ("outcome = 'success'", "UPDATE run SET outcome = 'cancelled' WHERE id = :id"),
    "an exit code is another": (
        "outcome = 'success'",
        "UPDATE attempt SET exit_code = 7 WHERE run_id = :id AND outcome = 'success'",
    ),
    "a success is made a failure": (
        "outcome = 'success'",
        "UPDATE attempt SET outcome = 'failure' WHERE run_id = :id AND outcome = 'success';"
        " UPDATE run SET outcome = 'failure' WHERE id = :id",
    ),
    "an attempt is lost": ("attempt > 0", "DELETE FROM attempt WHERE run_id = :id AND attempt = 1"),
    "an attempt has no end": (
        "state = 'done' AND attempt > 0",
        "UPDATE attempt SET outcome = NULL, finished_at = NULL WHERE run_id = :id",
    ),
    "an exit code is lost": (
        "outcome = 'success'",
        "UPDATE attempt SET exit_code = NULL WHERE run_id = :id AND outcome = 'success'",
    ),
}
"""What is done to a row → which rows it can be done to, and how. No sound ledger comes of any."""


def _tamper(rng: random.Random, database: Path) -> str:
    with closing(sqlite3.connect(database)) as db:
        while True:
            told = rng.choice(list(TAMPERING))
            condition, change = TAMPERING[told]
            ids = [run_id for (run_id,) in db.execute(f"SELECT id FROM run WHERE {condition} ORDER BY id")]
            if ids:
                run_id = rng.choice(ids)
                for statement in change.split(";"):
                    db.execute(statement, {"id": run_id})
                db.commit()
                return f"{told} (run {run_id})"


@pytest.fixture
def tampered(world: Worlds, tmp_path: Path) -> Callable[[str], Proof]:
    """Return the proof of a sound ledger in three revisions, after a change of it."""
    w = world(play=lambda claim: Played(1, Outcome.FAILURE if claim.run.id % 3 == 0 else Outcome.SUCCESS))
    w.add("job", "*/10 * * * *", tz="Europe/Berlin")
    for schedule in ("*/15 * * * *", "*/5 * * * *"):
        w.run_until(w.clock.wall + 3600 * SECOND)
        w.set("job", schedule=schedule)
    w.run_until(w.clock.wall + 3600 * SECOND)
    w.check()
    changed = tmp_path / "tampered.db"
    w.store.close()
    shutil.copy(w.place.database, changed)
    w.store = open_store(w.place)

    def tamper(statements: str) -> Proof:
        with closing(sqlite3.connect(changed)) as db:
            db.executescript(statements)
        with closing(open_store(Place(changed, tmp_path / "logs", "test"))) as store:
            (job_id,) = store.ever(["job"])
            return prove(store, job_id, w.clock.wall)

    return tamper


def test_a_cancelled_run_whose_last_attempt_succeeded_is_a_contradiction(
    tampered: Callable[[str], Proof],
) -> None:
    proof = tampered("UPDATE run SET outcome = 'cancelled' WHERE id = 1")
    assert proof.contradictions == (Contradiction("it is cancelled, and its last attempt is success", 1),)


def test_a_definition_of_the_past_that_cannot_be_read_is_a_contradiction(
    tampered: Callable[[str], Proof],
) -> None:
    proof = tampered("UPDATE definition SET document = '{}' WHERE revision = 1; DELETE FROM run WHERE id = 2")
    assert Contradiction("the definition of revision 1 cannot be read") in proof.contradictions


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            "PRAGMA foreign_keys = OFF; DELETE FROM run WHERE revision = 1;"
            " DELETE FROM definition WHERE revision = 1",
            "its definition of revision 1 is not there",
        ),
        ("DELETE FROM definition WHERE revision = 2", "its definition of revision 2 is not there"),
        (
            "UPDATE definition SET since = since + 3600000000 WHERE revision = 1;"
            " DELETE FROM run WHERE id < 7",
            "its first definition is of 2026-03-02 01:00:00+00:00, and the job of 2026-03-02 00:00:00+00:00",
        ),
        (
            "UPDATE job SET created_at = created_at + 3600000000; DELETE FROM run WHERE id < 7",
            "its first definition is of 2026-03-02 00:00:00+00:00, and the job of 2026-03-02 01:00:00+00:00",
        ),
    ],
)
def test_a_job_whose_first_definition_is_not_its_own_is_a_contradiction(
    tampered: Callable[[str], Proof], change: str, text: str
) -> None:
    assert Contradiction(text) in tampered(change).contradictions


def test_a_job_whose_definition_is_lost_does_not_vanish(tampered: Callable[[str], Proof]) -> None:
    with pytest.raises(DefinitionUnreadable, match="the definition of `job` in the database cannot be read"):
        tampered("DELETE FROM definition WHERE revision = 3")


def test_a_ledger_that_was_pruned_further_than_retention_does_is_a_contradiction(
    tampered: Callable[[str], Proof],
) -> None:
    proof = tampered(
        "UPDATE job SET pruned_before = next_fire_at;"
        " DELETE FROM run WHERE fire_at < (SELECT next_fire_at FROM job)"
    )
    assert [one.text.partition(" up to")[0] for one in proof.contradictions] == [
        "no fire time is recorded since it was pruned"
    ]


def test_a_proof_says_since_when(tampered: Callable[[str], Proof]) -> None:
    proof = tampered("SELECT 1")
    assert (proof.since, proof.pruned_before) == (utc("2026-03-02T00:00:00"), None)
    proof = tampered(
        "UPDATE job SET pruned_before = (SELECT fire_at FROM run WHERE id = 4); DELETE FROM run WHERE id < 4"
    )
    assert not proof.total
    assert proof.since == proof.pruned_before == utc("2026-03-02T00:40:00")


def test_a_row_that_names_another_definition_than_that_in_force_is_a_difference(
    tampered: Callable[[str], Proof],
) -> None:
    proof = tampered("UPDATE run SET revision = 1 WHERE revision = 2 AND id % 2")
    assert proof.differences
    assert {(one.kind, one.revision) for one in proof.differences} == {(Kind.REVISION, 2)}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            "UPDATE attempt SET exit_code = 7 WHERE run_id = 1",
            "attempt 1 is success with exit code 7, which means no success in revision 1",
        ),
        (
            "UPDATE attempt SET outcome = 'failure' WHERE run_id = 1;"
            " UPDATE run SET outcome = 'failure' WHERE id = 1",
            "attempt 1 is failure with exit code 0, which means success in revision 1",
        ),
    ],
)
def test_an_outcome_that_its_exit_code_does_not_have_is_a_contradiction(
    tampered: Callable[[str], Proof], change: str, text: str
) -> None:
    assert tampered(change).contradictions == (Contradiction(text, 1),)


def test_exit_codes_mean_what_they_did_when_the_run_was_made(world: Worlds) -> None:
    w = world(
        play=lambda claim: Played(
            1, Outcome.SUCCESS if 1 in claim.definition.success_codes else Outcome.FAILURE
        )
    )
    w.add("job", "*/10 * * * *")
    w.run_until(w.clock.wall + 3600 * SECOND)
    with closing(sqlite3.connect(w.place.database)) as db:
        db.execute("UPDATE attempt SET exit_code = 3")
        db.commit()
    w.set("job", success_codes=(0, 1, 3))
    (again,) = w.store.retry([1], now=w.clock.wall)
    w.run_until(w.clock.wall + 3600 * SECOND)
    assert w.store.run(again.id).run.outcome is Outcome.SUCCESS
    w.check()


def proof_of(w: World, name: str) -> Proof:
    (job_id,) = w.store.ever([name])
    return prove(w.store, job_id, w.clock.wall)


def test_a_change_of_the_schedule_belongs_to_an_instant(world: Worlds) -> None:
    w = world()
    w.add("job", "* * * * *")
    w.run_until(utc("2026-03-02T00:05:30"))
    w.set("job", schedule="*/10 * * * *")
    w.run_until(utc("2026-03-02T00:30:30"))
    assert [run.revision for run in w.rows("job")] == [1] * 5 + [2] * 3
    assert proof_of(w, "job").fire_times == 8
    w.check()


def test_a_clock_set_back_gives_a_new_schedule_nothing_of_what_is_accounted_for(world: Worlds) -> None:
    w = world()
    w.add("job", "* * * * *")
    w.run_until(utc("2026-03-02T01:00:30"))
    w.clock.step(-3600)
    job = w.set("job", schedule="*/7 * * * *")
    assert job.next_fire_at == utc("2026-03-02T01:07:00")
    again = w.set("job", schedule="* * * * *")
    assert again.next_fire_at == utc("2026-03-02T01:01:00")
    since = [one.since for one in w.store.past(job.id).revisions[1:]]
    assert since == [utc("2026-03-02T01:00:00")] * 2
    w.run_until(utc("2026-03-02T01:10:30"))
    w.check()


def test_of_two_changes_the_later_one_wins_also_if_the_clock_was_set_back_between(world: Worlds) -> None:
    w = world()
    w.add("job", "30 * * * *")
    w.run_until(utc("2026-03-02T01:20:30"))
    w.set("job", schedule="*/7 * * * *")
    w.clock.step(-1800)
    assert w.set("job", schedule="* * * * *").next_fire_at == utc("2026-03-02T00:51:00")
    w.run_until(utc("2026-03-02T01:40:30"))
    w.check()


def test_a_clock_set_back_after_the_last_fire_time_gives_nothing_again(world: Worlds) -> None:
    w = world()
    w.add("job", "* * * * *", valid_until="2026-03-02T00:30:00Z")
    w.run_until(utc("2026-03-02T00:40:30"))
    w.clock.step(-1800)
    assert w.set("job", valid_until=None).next_fire_at == utc("2026-03-02T00:31:00")
    w.run_until(utc("2026-03-02T00:41:30"))
    w.check()


def test_a_calendar_that_changes_holds_from_then_on(world: Worlds) -> None:
    w = world()
    w.set_calendar("team", "2026-03-03 away\n")
    w.add("job", "0 * * * *", calendars=("team:skip",))
    w.run_until(utc("2026-03-05T12:30:00"))
    w.clock.step(-7200)
    w.set_calendar("team", "2026-03-05 away\n2026-03-01 past\n")
    w.clock.step(-7200)
    w.set_calendar("team", "2026-03-06 away\n")
    w.run_until(utc("2026-03-07T12:30:00"))
    assert w.store.job("job").revision == 3
    w.check()


def test_new_zone_data_begin_a_new_era(world: Worlds) -> None:
    w = world()
    w.add("job", "0 9 * * *", tz="Europe/Berlin")
    w.add("plain", "0 9 * * *")
    follow_zone_data(w.store, w.clock.wall, "2001a")
    w.run_until(utc("2026-03-04T12:00:00"))
    assert (w.store.job("job").revision, w.store.job("plain").revision) == (2, 1)
    revisions = w.store.past(w.store.ever(["job"])[0]).revisions
    assert revisions[-1].tzdata == tzdata_version().version
    w.check()


def test_zone_data_that_changed_while_a_fire_time_was_due_begin_with_it(world: Worlds) -> None:
    w = world()
    w.add("job", "0 9 * * *", tz="Europe/Berlin")
    w.store.set_fact("tzdata", "2001a")
    w.be_down_until(utc("2026-03-04T12:00:00"))
    w.run_until(utc("2026-03-05T12:00:00"))
    revisions = w.store.past(w.store.ever(["job"])[0]).revisions
    assert [one.since for one in revisions] == [w.born, utc("2026-03-02T08:00:00") - 1]
    w.check()


def test_rows_of_other_zone_data_prove_nothing_but_are_told(world: Worlds) -> None:
    w = world()
    w.add("job", "0 9 * * *", tz="Europe/Berlin")
    w.run_until(utc("2026-03-04T12:00:00"))
    with closing(sqlite3.connect(w.place.database)) as db:
        db.execute("UPDATE definition SET tzdata = '2001a'")
        db.execute("UPDATE run SET fire_at = fire_at + 3600000000, last_fire_at = last_fire_at + 3600000000")
        db.commit()
    proof = proof_of(w, "job")
    assert proof.total == 0
    assert {one.kind for one in proof.unproven} >= {Kind.MISSING, Kind.EXTRA}


def test_a_queued_run_of_a_removed_job_is_a_contradiction(world: Worlds) -> None:
    w = world(slots=0)
    w.add("job", "0 9 * * *")
    w.run_until(utc("2026-03-02T12:00:00"))
    w.remove("job")
    w.check()
    with closing(sqlite3.connect(w.place.database)) as db:
        db.execute("UPDATE run SET state = 'queued', outcome = NULL, finished_at = NULL")
        db.commit()
    (found,) = proof_of(w, "job").contradictions
    assert found.text == "it is queued, and its job is removed"


def test_a_live_scheduler_that_leaves_due_fire_times_alone_is_a_contradiction(world: Worlds) -> None:
    w = world()
    w.add("job", "0 9 * * *")
    w.be_down_until(utc("2026-03-02T12:00:00"))
    (job_id,) = w.store.ever(["job"])
    now = w.clock.wall
    assert not prove(w.store, job_id, now).total
    assert not prove(w.store, job_id, now, alive_since=now - SECOND).total
    (found,) = prove(w.store, job_id, now, alive_since=w.born).contradictions
    assert found.text.startswith("a scheduler is running")


def test_the_lives_of_schedulers_are_remembered(world: Worlds) -> None:
    w = world()
    w.add("job", "* * * * *")
    w.run_until(utc("2026-03-02T00:05:00"))
    w.be_down_until(utc("2026-03-02T01:00:00"))
    w.run_until(utc("2026-03-02T01:05:00"))
    lives = w.store.lives(utc("2026-03-02T00:30:00"), utc("2026-03-02T02:00:00"))
    assert [life.started_at for life in lives] == [utc("2026-03-02T00:00:00"), utc("2026-03-02T01:00:00")]
    assert [life.stopped_at for life in lives] == [None, None]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_year_of_every_minute_is_proven_in_seconds_and_in_little_memory(world: Worlds) -> None:
    w = world("2026-01-01T00:00:00")
    job = w.add("job", "* * * * *")
    end = w.born + 365 * 86_400 * SECOND
    with closing(sqlite3.connect(w.place.database)) as db:
        db.executemany(
            "INSERT INTO run (job_id, revision, trigger, logical_at, fire_at, last_fire_at, state, outcome,"
            " attempt, queued_at, available_at, started_at, finished_at)"
            " VALUES (?1, 1, 'schedule', ?2, ?2, ?2, 'done', 'success', 1, ?2, ?2, ?2, ?2)",
            ((job.id, at) for at in range(w.born + 60 * SECOND, end, 60 * SECOND)),
        )
        db.execute(
            "INSERT INTO attempt (run_id, attempt, worker, boot_id, claimed_at, started_at, finished_at,"
            " outcome, exit_code) SELECT id, 1, 'w', 'b', fire_at, fire_at, fire_at, 'success', 0 FROM run"
        )
        db.execute("UPDATE job SET next_fire_at = ?", (end,))
        db.commit()
    began = time.process_time()
    proof = prove(w.store, job.id, end)
    assert (proof.fire_times, proof.total) == (365 * 1440 - 1, 0)
    assert time.process_time() - began < 10
    db_size = w.place.database.stat().st_size
    tracemalloc.start()
    assert prove(w.store, job.id, end, since=end - 30 * 86_400 * SECOND).total == 0
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000 < db_size
