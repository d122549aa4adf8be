"""Laws of planning that hold for every schedule, policy and clock: nothing lost, nothing twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronq.model import (
    SECOND,
    CatchUp,
    Definition,
    Job,
    Micros,
    OnCrash,
    Outcome,
    Overlap,
    Run,
    State,
    Trigger,
)
from cronq.plan import BATCH, Active, Fire, Launch, Passed, after_attempt, decide, pass_over
from tests.unit.test_plan import BASE, Listed
from tests.unit.test_plan import job as some_job

HOUR = 3600 * SECOND

instants = st.integers(BASE, BASE + HOUR)
spans_s = st.one_of(st.sampled_from([0.0, 1.0, 60.0, 3600.0, 1e9]), st.floats(0, 7200))
fire_times = st.one_of(
    st.lists(instants, max_size=60, unique=True).map(Listed),
    # A herd, more than one batch of it: as dense as schedules can be, and denser.
    st.builds(
        lambda start, step, count: Listed([start + n * step for n in range(count)]),
        instants,
        st.sampled_from([1, SECOND, 7 * SECOND]),
        st.integers(BATCH - 1, 2 * BATCH + 1),
    ),
)
actives = st.builds(Active, queued=st.integers(0, 12), running=st.integers(0, 4))
policies = st.fixed_dictionaries(
    {
        "overlap": st.sampled_from(Overlap),
        "max_running": st.one_of(st.none(), st.integers(1, 4)),
        "max_queued": st.integers(0, 12),
        "catch_up": st.sampled_from(CatchUp),
        "grace_s": spans_s,
        "catch_up_window_s": spans_s,
        "catch_up_limit": st.one_of(st.integers(0, 20), st.integers(BATCH - 1, 3 * BATCH)),
    }
)


def job_at(watermark: Micros | None, fields: dict[str, Any]) -> Job:
    return some_job(**fields)._replace(next_fire_at=watermark)


def covered(launch: Launch, times: Listed) -> list[Micros]:
    """Return the fire times that the entries account for, in their order; checks each `Passed`.

    A watermark that is none has a row of its own before them.
    """
    found: list[Micros] = []
    mark = launch.job.next_fire_at
    entries = launch.entries
    if mark not in times.fire_times:
        lapsed, *entries = launch.entries  # type: ignore[assignment]
        assert isinstance(lapsed, Passed)
        assert lapsed[:3] == (mark, mark, 1)
    for entry in entries:
        if isinstance(entry, Fire):
            found.append(entry.fire_at)
        else:
            inside = list(times.iter_us(entry.first_fire_at, entry.last_fire_at + 1))
            assert entry.fire_count == len(inside), entry
            assert (entry.first_fire_at, entry.last_fire_at) == (inside[0], inside[-1]), entry
            assert entry.outcome in {Outcome.SKIPPED, Outcome.MISSED}
            assert entry.reason
            found += inside
    return found


def check(job: Job, times: Listed, launch: Launch, now: Micros) -> None:
    assert job.next_fire_at is not None
    accounted = covered(launch, times)
    rest = [t for t in times.fire_times if t >= job.next_fire_at]
    assert accounted == rest[: len(accounted)], "ascending, contiguous, from the watermark, each once"
    assert all(t <= now for t in accounted), "nothing that is not due yet"
    following = rest[len(accounted) :]
    assert launch.next_fire_at == (following[0] if following else None)


@settings(max_examples=250, deadline=None)
@given(fire_times, policies, instants, st.integers(-2, 3 * 3600 * SECOND), actives)
def test_decide_again_and_again_accounts_for_each_due_fire_time_once(
    times: Listed, fields: dict[str, Any], watermark: Micros, late: Micros, active: Active
) -> None:
    now = watermark + late
    job = job_at(watermark, fields)
    due = [t for t in times.fire_times if watermark <= t <= now]
    accounted: list[Micros] = []
    for _ in range(2 + len(due) // BATCH):
        launch = decide(job, times, active, now)
        assert launch == decide(job, times, active, now), "a function of its arguments"
        if job.next_fire_at is None or job.next_fire_at > now:
            assert launch == Launch(job, (), job.next_fire_at)
            break
        check(job, times, launch, now)
        assert sum(isinstance(entry, Fire) for entry in launch.entries) <= BATCH
        accounted += covered(launch, times)
        job = job._replace(next_fire_at=launch.next_fire_at)
    assert accounted == due
    assert job.next_fire_at is None or job.next_fire_at > now


@settings(max_examples=150, deadline=None)
@given(fire_times, policies, instants, st.integers(0, 3 * 3600 * SECOND), actives)
def test_decide_starts_no_more_than_the_policies_allow(
    times: Listed, fields: dict[str, Any], watermark: Micros, late: Micros, active: Active
) -> None:
    now = watermark + late
    job = job_at(watermark, fields)
    definition = job.definition
    launch = decide(job, times, active, now)
    fires = [entry for entry in launch.entries if isinstance(entry, Fire)]
    caught_up = [fire for fire in fires if fire.trigger is Trigger.CATCH_UP]
    earliest = now - round(definition.catch_up_window_s * SECOND)
    on_time_from = now - round(definition.grace_s * SECOND)
    most = {CatchUp.SKIP: 0, CatchUp.LATEST: 1, CatchUp.ALL: definition.catch_up_limit}
    assert len(caught_up) <= most[definition.catch_up]
    assert all(earliest <= fire.fire_at < on_time_from for fire in caught_up)
    assert all(fire.fire_at >= on_time_from for fire in fires if fire.trigger is Trigger.SCHEDULE)
    if launch.replaces:
        assert definition.overlap is Overlap.REPLACE
        assert active.total > 0
        assert isinstance(launch.entries[-1], Fire)
    if definition.overlap is Overlap.ALLOW or definition.catch_up is CatchUp.ALL:
        return
    room = max(0, (definition.max_running or 1) - active.total)
    if definition.overlap is Overlap.QUEUE:
        waiting = definition.max_queued - active.queued
        room = max(0, waiting + max(0, (definition.max_running or 1) - active.running))
    if definition.overlap is Overlap.REPLACE:
        room = 1
    assert len(fires) - len(caught_up) <= room


@settings(max_examples=150, deadline=None)
@given(fire_times, instants, st.integers(-2, 3 * 3600 * SECOND))
def test_pass_over_accounts_for_all_that_is_due_in_one_row(
    times: Listed, watermark: Micros, late: Micros
) -> None:
    now = watermark + late
    job = job_at(watermark, {})
    launch = pass_over(job, times, now, Outcome.SKIPPED, "paused")
    assert launch == pass_over(job, times, now, Outcome.SKIPPED, "paused")
    if late < 0:
        assert launch == Launch(job, (), watermark)
        return
    assert len(launch.entries) <= 2
    assert all(isinstance(entry, Passed) for entry in launch.entries)
    check(job, times, launch, now)
    assert launch.next_fire_at is None or launch.next_fire_at > now


retry_policies = st.builds(
    Definition,
    command=st.just(some_job().definition.command),
    schedule=st.just("* * * * *"),
    retries=st.integers(0, 1000),
    retry_delay_s=st.floats(0, 1e6),
    retry_factor=st.floats(1, 1000),
    retry_max_delay_s=st.floats(0, 1e7),
    retry_jitter=st.floats(0, 1),
    on_crash=st.sampled_from(OnCrash),
)


@settings(max_examples=200, deadline=None)
@given(
    retry_policies,
    st.integers(0, 1001),
    st.integers(1, 2**40),
    st.sampled_from([o for o in Outcome if o not in {Outcome.SKIPPED, Outcome.MISSED}]),
)
def test_after_attempt_waits_between_the_jittered_and_the_longest_delay(
    definition: Definition, failures: int, run_id: int, outcome: Outcome
) -> None:
    run = Run(
        run_id,
        1,
        "job",
        1,
        Trigger.MANUAL,
        State.RUNNING,
        BASE,
        BASE,
        BASE,
        attempt=failures + 1,
        failures=failures,
    )
    retry = after_attempt(definition, run, outcome, BASE)
    assert retry == after_attempt(definition, run, outcome, BASE)
    if retry.at is None:
        return
    assert outcome not in {Outcome.SUCCESS, Outcome.CANCELLED}
    assert BASE <= retry.at <= BASE + round(definition.retry_max_delay_s * SECOND)
    assert failures < definition.retries or not retry.counts


@pytest.mark.slow
@settings(max_examples=5000, deadline=None)
@given(fire_times, policies, instants, st.integers(-2, 3 * 3600 * SECOND), actives)
def test_decide_accounts_for_each_fire_time_once_at_length(
    times: Listed, fields: dict[str, Any], watermark: Micros, late: Micros, active: Active
) -> None:
    now = watermark + late
    job = job_at(watermark, fields)
    if late >= 0:
        check(job, times, decide(job, times, active, now), now)
