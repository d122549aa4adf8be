"""What every store can tell about the past."""

from __future__ import annotations

import pytest

from cronq.errors import JobNotFound
from cronq.model import Outcome
from cronq.store import CalendarText, JobChange, Store
from cronq.store.sqlite_history import KEPT_LIVES
from tests.unit.store.builders import (
    MINUTE,
    NOW,
    add,
    claim_all,
    claim_one,
    done_run,
    finish,
    fire,
    fires,
    passed,
    redefine,
    remove,
)
from tests.unit.store.conftest import OpenStore


def test_the_past_has_every_revision_and_when_it_began(store: Store) -> None:
    job = add(store)
    redefine(store, "job", now=NOW + 5, timeout_s=3.0)
    change = JobChange(
        fires(store.job("job")), job.definition._replace(tz="Asia/Tokyo"), since=NOW + 9, tzdata="2026a"
    )
    store.change_jobs([change], now=NOW + 7)
    past = store.past(job.id)
    assert [(one.revision, one.since, one.tzdata) for one in past.revisions] == [
        (1, NOW, None),
        (2, NOW + 5, None),
        (3, NOW + 9, "2026a"),
    ]
    assert [one.definition.timeout_s for one in past.revisions if one.definition] == [None, 3.0, None]
    assert (past.job.revision, past.pruned_before, past.last_fire_at) == (3, None, None)


def test_removed_namesakes_are_found(store: Store) -> None:
    first = add(store)
    remove(store, "job")
    second = add(store)
    add(store, "other")
    assert store.ever(["job"]) == [second.id, first.id]
    assert len(store.ever()) == 3
    assert store.past(first.id).job.removed_at == NOW
    with pytest.raises(JobNotFound):
        store.ever(["job", "nope"])


def test_rows_that_account_for_fire_times_come_in_their_order(store: Store) -> None:
    job = add(store)
    store.trigger(["job"], now=NOW)
    store.launch([passed(job, NOW, NOW + 4 * MINUTE, 5)], now=NOW + 4 * MINUTE)
    fire(store, "job", NOW + 5 * MINUTE)
    rows = list(store.recorded(job.id, NOW - 1))
    assert [(row.fire_at, row.last_fire_at, row.fire_count, row.became) for row in rows] == [
        (NOW, NOW + 4 * MINUTE, 5, "missed"),
        (NOW + 5 * MINUTE, NOW + 5 * MINUTE, 1, "queued"),
    ]
    # A row that reaches beyond the instant is there, one that does not is not.
    assert [row.fire_count for row in store.recorded(job.id, NOW + 3 * MINUTE)] == [5, 1]
    assert [row.fire_count for row in store.recorded(job.id, NOW + 4 * MINUTE)] == [1]
    assert store.past(job.id).last_fire_at == NOW + 5 * MINUTE


def test_the_row_at_and_after_an_instant(store: Store) -> None:
    job = add(store)
    store.launch([passed(job, NOW, NOW + 4 * MINUTE, 5)], now=NOW + 4 * MINUTE)
    run = fire(store, "job", NOW + 6 * MINUTE)
    assert store.row_at(job.id, NOW - 1) is None
    spanning = store.row_at(job.id, NOW + 2 * MINUTE)
    assert spanning is not None
    assert spanning.fire_count == 5
    assert store.row_at(job.id, NOW + 5 * MINUTE) is None
    assert store.row_at(job.id, NOW + 6 * MINUTE) == run
    assert store.row_after(job.id, NOW) == run
    assert store.row_after(job.id, NOW + 6 * MINUTE) is None
    assert store.newest_run(job.id) == run


def test_the_newest_success_is_what_ended_last_about_the_latest(store: Store) -> None:
    job = add(store)
    assert store.newest_success(job.id) is None
    first = done_run(store)
    done_run(store, outcome=Outcome.FAILURE, finished_at=NOW + MINUTE)
    found = store.newest_success(job.id)
    assert found is not None
    assert (found.about, found.ended_at) == (first.logical_at, first.finished_at)
    # Repeated about the same instant: it ended later.
    store.retry([first.id], now=NOW + 2 * MINUTE)
    finish(store, claim_one(store, now=NOW + 2 * MINUTE), finished_at=NOW + 3 * MINUTE)
    found = store.newest_success(job.id)
    assert found is not None
    assert (found.about, found.ended_at) == (first.logical_at, NOW + 3 * MINUTE)


def test_what_is_read_together_is_of_one_instant(store: Store, another: OpenStore) -> None:
    job = add(store)
    with store.reading():
        assert list(store.recorded(job.id, 0)) == []
        fire(another(), "job", NOW)
        assert list(store.recorded(job.id, 0)) == []
        assert store.past(job.id).job.next_fire_at == NOW
    assert len(list(store.recorded(job.id, 0))) == 1
    assert store.past(job.id).job.next_fire_at == NOW + MINUTE


def test_sound_runs_of_every_kind_are_no_misfits(store: Store) -> None:
    job = add(store, retries=1)
    done_run(store)
    done_run(store, outcome=Outcome.FAILURE)
    fire(store, "job", NOW)
    claim_one(store)
    retried = store.trigger(["job"], now=NOW)
    assert retried
    store.cancel(retried[0].id, reason="no", now=NOW)
    assert store.misfits(job.id, 0) == []


def test_a_retry_that_is_cancelled_while_it_waits_is_no_misfit(store: Store) -> None:
    job = add(store)
    store.trigger(["job"], now=NOW)
    run = finish(store, claim_one(store), Outcome.FAILURE, retry_at=NOW + MINUTE)
    assert store.misfits(job.id, 0) == []
    store.cancel(run.id, reason="no", now=NOW)
    assert store.misfits(job.id, 0) == []


def test_bystanders_were_there_at_the_instant(store: Store) -> None:
    add(store, "first", locks=("db",))
    add(store, "second")
    store.trigger(["first", "second"], now=NOW)
    running, _ = claim_all(store, 2)
    finish(store, running)
    (third,) = store.trigger(["second"], now=NOW + MINUTE)
    found = store.bystanders(third.id, NOW + 1_500_000)
    assert [(one.job, one.started_at is None, one.locks) for one in found] == [
        ("second", True, ()),
        ("first", False, ("db",)),
    ]
    assert [one.job for one in store.bystanders(third.id, NOW + MINUTE)] == ["second"]
    assert [run.id for run in store.active_runs(store.job("second").id)] == [found[0].run_id, third.id]


def test_calendar_texts_follow_one_another_also_if_the_clock_goes_back(store: Store) -> None:
    store.set_calendar("team", "a", now=NOW)
    store.set_calendar("team", "b", now=NOW - MINUTE)
    store.remove_calendar("team", now=NOW - MINUTE)
    store.set_calendar("other", "c", now=NOW)
    assert store.calendar_texts(["team"]) == [
        CalendarText("team", NOW, "a"),
        CalendarText("team", NOW + 1, "b"),
        CalendarText("team", NOW + 2, None),
    ]


def test_a_calendar_changes_with_the_jobs_or_not_at_all(store: Store) -> None:
    job = add(store)
    calendar = CalendarText("team", NOW, "a")
    stale = JobChange(fires(job), job.definition)
    redefine(store, "job", timeout_s=3.0)
    assert store.change_jobs([stale], now=NOW, calendar=calendar) is None
    assert store.calendars() == {}
    assert store.change_jobs([JobChange(fires(store.job("job")))], now=NOW, calendar=calendar)
    assert store.calendars() == {"team": "a"}


def test_lives_of_schedulers_are_told_and_the_oldest_forgotten(store: Store) -> None:
    def lives(start: int, end: int) -> list[tuple[int, int | None]]:
        return [(one.started_at, one.stopped_at) for one in store.lives(start, end)]

    first = store.scheduler_started(pid=1, boot_id="b", version="1", slots=1, now=NOW)
    store.scheduler_stopped(first, now=NOW + 5)
    store.scheduler_started(pid=2, boot_id="b", version="1", slots=1, now=NOW + 10)
    assert lives(NOW + 7, NOW + 20) == [(NOW, NOW + 5), (NOW + 10, None)]
    assert lives(NOW + 15, NOW + 20) == [(NOW + 10, None)]
    assert lives(0, NOW - 1) == []
    for n in range(KEPT_LIVES):
        store.scheduler_started(pid=3, boot_id="b", version="1", slots=1, now=NOW + 20 + n)
    assert len(lives(0, NOW + MINUTE)) == KEPT_LIVES
