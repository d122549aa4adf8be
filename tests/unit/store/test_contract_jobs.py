"""What every store does with jobs: add, change if still as read, pause, resume, remove, look."""

from __future__ import annotations

import pytest

from cronq.errors import InvariantError, JobExists, JobNotFound, UsageError
from cronq.model import AttemptStart, Outcome, State, Trigger
from cronq.plan import Active, Fire, Launch, Passed
from cronq.store import DueJob, JobChange, NewJob, Store, Totals
from tests.unit.store.builders import (
    MINUTE,
    NOW,
    add,
    claim_one,
    definition,
    done_run,
    finish,
    fire,
    fires,
    ids,
    passed,
    pause,
    redefine,
    remove,
    resume,
)
from tests.unit.store.conftest import OpenStore


def test_add_job_returns_what_is_stored(store: Store) -> None:
    added = add(store, "backup", due=NOW + MINUTE, retries=3)
    assert added == store.job("backup")
    assert (added.revision, added.created_at, added.changed_at) == (1, NOW, NOW)
    assert (added.next_fire_at, added.paused_at, added.removed_at) == (NOW + MINUTE, None, None)
    assert added.definition == definition(retries=3)


def test_add_job_is_seen_by_others(store: Store, another: OpenStore) -> None:
    assert add(store) == another().job("job")


def test_add_job_with_a_taken_name_is_refused_and_changes_nothing(store: Store) -> None:
    first = add(store, retries=1)
    with pytest.raises(JobExists, match="`job` exists already") as caught:
        add(store, retries=2)
    assert "cronq set job" in caught.value.hint
    assert store.job("job") == first


def test_add_job_again_after_removal_is_another_job(store: Store) -> None:
    first = add(store)
    remove(store, "job")
    second = add(store)
    assert second.id != first.id
    assert store.job("job") == second


@pytest.mark.parametrize("name", ["", "x" * 64])
def test_add_job_with_an_impossible_name_is_not_called_taken(store: Store, name: str) -> None:
    with pytest.raises(InvariantError):
        add(store, name)
    assert store.overviews() == []


def test_add_job_with_text_that_is_not_utf8_is_refused_as_a_whole(store: Store) -> None:
    with pytest.raises(UsageError, match="not UTF-8"):
        add(store, cwd="/caf\udce9")
    assert store.totals().jobs == 0


def test_job_unknown_names_what_is_like_it(store: Store) -> None:
    add(store, "backup")
    with pytest.raises(JobNotFound, match="no job named `bakup`") as caught:
        store.job("bakup")
    assert "`backup`" in caught.value.hint


def test_job_unknown_in_an_empty_store_says_how_to_add_one(store: Store) -> None:
    with pytest.raises(JobNotFound) as caught:
        store.job("backup")
    assert "cronq add" in caught.value.hint


def test_named_jobs_keep_the_order_of_the_names(store: Store) -> None:
    for name in ("a", "b", "c"):
        add(store, name)
    assert [job.name for job in store.named_jobs(["c", "a"])] == ["c", "a"]


def test_named_jobs_unknown_are_all_named(store: Store) -> None:
    add(store, "a")
    with pytest.raises(JobNotFound, match="no jobs named `x`, `y`"):
        store.named_jobs(["x", "a", "y"])


# Changes, if still as read


def test_change_jobs_gives_a_new_revision_and_keeps_the_old_one(store: Store) -> None:
    old = add(store)
    changed = redefine(store, "job", now=NOW + 1, retries=5)
    assert changed == store.job("job")
    assert (changed.revision, changed.definition.retries, changed.changed_at) == (2, 5, NOW + 1)
    assert store.definition(old.id, 1) == old.definition
    assert store.definition(old.id, 2) == changed.definition


def test_change_jobs_without_a_definition_keeps_the_revision(store: Store) -> None:
    job = add(store)
    changed = store.change_jobs([JobChange(fires(job, NOW))], now=NOW)
    assert changed is not None
    assert changed[0].revision == 1
    assert changed[0].next_fire_at == NOW + MINUTE


def test_change_jobs_settles_due_fire_times_under_the_old_revision(store: Store) -> None:
    job = add(store)
    store.change_jobs([JobChange(fires(job, NOW), definition(retries=1))], now=NOW)
    assert claim_one(store).run.revision == 1


def outrun(store: Store, how: str) -> None:
    if how == "edited":
        redefine(store, "job", retries=9)
    elif how == "fired":
        fire(store, "job", NOW)
    elif how == "paused":
        pause(store, "job")
    else:
        remove(store, "job")


@pytest.mark.parametrize("how", ["edited", "fired", "paused", "removed"])
def test_change_jobs_that_was_outrun_changes_none_of_them(store: Store, another: OpenStore, how: str) -> None:
    first, second = add(store, "first"), add(store, "job")
    outrun(another(), how)
    before = store.overviews()
    changes = [
        JobChange(fires(first, NOW), first.definition._replace(retries=1)),
        JobChange(fires(second, NOW), second.definition._replace(retries=1)),
    ]
    assert store.change_jobs(changes, now=NOW + 1) is None
    assert store.overviews() == before
    assert store.job("first") == first


def test_change_jobs_twice_with_what_was_read_once_is_outrun(store: Store) -> None:
    job = add(store)
    change = JobChange(fires(job), definition(retries=1))
    assert store.change_jobs([change], now=NOW) is not None
    assert store.change_jobs([change], now=NOW) is None


# Pause, resume, remove


def test_pause_stops_fire_times_and_resume_lets_them_go_on(store: Store) -> None:
    job = add(store)
    pause(store, "job", now=NOW + 5)
    assert store.job("job").paused_at == NOW + 5
    assert store.due_jobs(NOW + MINUTE, limit=9) == []
    assert store.upcoming(9) == []
    assert store.next_wake(NOW) is None
    resume(store, "job")
    assert store.job("job").paused_at is None
    assert [due.job.id for due in store.due_jobs(NOW, limit=9)] == [job.id]


def test_pause_refuses_a_launch_that_was_planned_before(store: Store, another: OpenStore) -> None:
    job = add(store)
    pause(another(), "job")
    assert store.launch([fires(job, NOW)], now=NOW) == []
    assert store.totals().queued == 0


def test_remove_hides_the_job_and_keeps_its_history(store: Store) -> None:
    job = add(store)
    run = done_run(store)
    removed = remove(store, "job", now=NOW + 9)
    assert removed is not None
    assert (removed[0].id, removed[0].removed_at, removed[0].next_fire_at) == (job.id, NOW + 9, None)
    with pytest.raises(JobNotFound):
        store.job("job")
    assert store.run(run.id).run == run
    assert store.totals() == Totals(0, 0, 0, 0, None)


def test_row_job_deleted_ends_queued_runs_and_lets_running_ones_go_on(store: Store) -> None:
    job = add(store, overlap="allow", max_running=1)
    running = store.launch([fires(job, NOW)], now=NOW)[0]
    claim = claim_one(store)
    queued = fire(store, "job", NOW + MINUTE)
    remove(store, "job", now=NOW + 9)
    after = store.run(queued.id).run
    assert (after.state, after.outcome, after.reason) == (State.DONE, Outcome.SKIPPED, "removed")
    assert store.run(running.id).run.state is State.RUNNING
    assert finish(store, claim).outcome is Outcome.SUCCESS


def test_remove_cancels_a_run_that_waits_for_its_retry(store: Store) -> None:
    add(store)
    store.trigger(["job"], now=NOW)
    run = finish(store, claim_one(store), Outcome.FAILURE, retry_at=NOW + MINUTE, counts=True)
    remove(store, "job")
    after = store.run(run.id).run
    assert (after.state, after.outcome, after.reason) == (State.DONE, Outcome.CANCELLED, "removed")


def test_remove_records_what_was_due_as_skipped(store: Store) -> None:
    job = add(store)
    settled = Launch(job, (Passed(NOW, NOW + MINUTE, 2, Outcome.SKIPPED, "removed"),), None)
    store.change_jobs([JobChange(settled, removed=True)], now=NOW + MINUTE)
    overview = store.totals()
    assert (overview.jobs, overview.queued) == (0, 0)
    run = store.run(1).run
    assert (run.fire_count, run.outcome, run.reason) == (2, Outcome.SKIPPED, "removed")


# Looking


def test_due_jobs_are_the_earliest_first_with_what_is_active(store: Store) -> None:
    add(store, "late", due=NOW - 1)
    add(store, "later", due=NOW - 2, max_running=2)
    add(store, "future", due=NOW + 1)
    add(store, "never", due=None)
    store.trigger(["later", "later"], now=NOW)
    claim_one(store)
    due = store.due_jobs(NOW, limit=9)
    assert [(d.job.name, d.active) for d in due] == [
        ("later", Active(queued=1, running=1)),
        ("late", Active()),
    ]
    assert [d.job.name for d in store.due_jobs(NOW, limit=1)] == ["later"]


def test_due_returns_jobs_that_are_not_due_too(store: Store) -> None:
    job = add(store, due=NOW + MINUTE)
    assert store.due(["job"]) == [DueJob(job, Active())]


def test_due_knows_the_last_fire_time_that_is_accounted_for(store: Store) -> None:
    add(store)
    assert store.due(["job"])[0].accounted_until is None
    store.launch([passed(store.job("job"), NOW, NOW + 4 * MINUTE, 5)], now=NOW + 9 * MINUTE)
    store.trigger(["job"], now=NOW + 9 * MINUTE)
    (due,) = store.due(["job"])
    assert due.accounted_until == NOW + 4 * MINUTE
    assert due.since(NOW) == NOW + 4 * MINUTE
    assert due.since(NOW + 5 * MINUTE) == NOW + 5 * MINUTE


def test_upcoming_is_the_earliest_first(store: Store) -> None:
    for name, due in (("b", NOW + 2), ("a", NOW + 3), ("c", NOW + 1), ("never", None)):
        add(store, name, due=due)
    assert store.upcoming(2) == [("c", NOW + 1), ("b", NOW + 2)]


def test_overviews_are_ordered_by_name_and_bounded(store: Store) -> None:
    for name in ("b", "c", "a"):
        add(store, name)
    assert [o.job.name for o in store.overviews()] == ["a", "b", "c"]
    assert [o.job.name for o in store.overviews(limit=2)] == ["a", "b"]
    assert [o.job.name for o in store.overviews(["c", "a"])] == ["c", "a"]
    with pytest.raises(JobNotFound):
        store.overviews(["x"])


def test_overviews_show_what_was_executed_newest_first(store: Store) -> None:
    job = add(store)
    first, second = done_run(store), done_run(store, outcome=Outcome.FAILURE)
    store.launch([passed(job, NOW, NOW + MINUTE, 2)], now=NOW + MINUTE)
    store.trigger(["job"], now=NOW)
    (overview,) = store.overviews()
    assert [(run.id, took) for run, took in overview.recent] == [(second.id, 2.0), (first.id, 2.0)]
    assert (overview.active, overview.running_since) == (Active(queued=1), None)
    assert ids([run for run, _ in store.overviews(recent=1)[0].recent]) == [second.id]


def test_overviews_tell_since_when_the_oldest_run_runs(store: Store) -> None:
    add(store, max_running=2)
    store.trigger(["job", "job"], now=NOW)
    claims = store.claim(["w1", "w2"], "boot", now=NOW + 1)
    assert store.overviews()[0].running_since == NOW  # claimed, not started: since it was queued
    store.record([_start(claims[0].key, NOW + 9), _start(claims[1].key, NOW + 7)], [])
    overview = store.overviews()[0]
    assert (overview.active, overview.running_since) == (Active(running=2), NOW + 7)


def _start(key: tuple[int, int], at: int) -> AttemptStart:
    return AttemptStart(key, 1, at)


def test_totals_count_the_whole_store(store: Store) -> None:
    assert store.totals() == Totals(0, 0, 0, 0, None)
    add(store, "a")
    add(store, "b")
    pause(store, "b")
    store.trigger(["a"], now=NOW + 3)
    store.trigger(["a", "b"], now=NOW + 5)
    claim_one(store, now=NOW + 5)
    assert store.totals() == Totals(jobs=2, paused=1, queued=2, running=1, oldest_queued_at=NOW + 5)


def test_facts_are_remembered(store: Store, another: OpenStore) -> None:
    assert store.fact("zones") is None
    store.set_fact("zones", "2025a")
    store.set_fact("zones", "2025b")
    assert another().fact("zones") == "2025b"


def test_startup_jobs_run_once_a_boot(store: Store, another: OpenStore) -> None:
    add(store, "boot", due=None, at_startup=True, priority=3)
    add(store, "other")
    (run,) = store.launch_startup("boot-1", now=NOW)
    assert (run.job, run.trigger, run.priority, run.fire_at) == ("boot", Trigger.STARTUP, 3, None)
    assert another().launch_startup("boot-1", now=NOW + 1) == []
    assert len(store.launch_startup("boot-2", now=NOW + 2)) == 1


def test_startup_jobs_that_are_paused_or_removed_do_not_run(store: Store) -> None:
    for name in ("paused", "removed"):
        add(store, name, due=None, at_startup=True)
    pause(store, "paused")
    remove(store, "removed")
    assert store.launch_startup("boot-1", now=NOW) == []
    resume(store, "paused")
    assert [run.job for run in store.launch_startup("boot-1", now=NOW)] == ["paused"]


def test_startup_follows_the_newest_definition(store: Store) -> None:
    job = add(store)
    store.change_jobs([JobChange(fires(job), definition(retries=1), at_startup=True)], now=NOW)
    (run,) = store.launch_startup("boot-1", now=NOW)
    assert run.revision == 2
    store.change_jobs([JobChange(fires(store.job("job")), definition())], now=NOW)
    assert store.launch_startup("boot-2", now=NOW) == []


def test_new_job_is_stored_whole_or_not_at_all(store: Store) -> None:
    with pytest.raises(InvariantError):
        store.add_job(NewJob("job", definition(max_running=0), NOW), now=NOW)
    assert store.totals().jobs == 0
    assert store.launch([Launch(add(store), (Fire(NOW, Trigger.SCHEDULE),), None)], now=NOW)
