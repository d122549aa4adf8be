"""What becomes of each fire time, and of an attempt that ended; on a schedule of one fire time a minute."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from cronq import plan
from cronq.model import (
    SECOND,
    CatchUp,
    Command,
    CommandKind,
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
from cronq.plan import (
    BATCH,
    LAPSED,
    Active,
    Fire,
    Launch,
    Passed,
    Retry,
    after_attempt,
    decide,
    has_lapsed,
    pass_over,
)
from cronq.schedule import parse

MINUTE = 60 * SECOND
BASE: Micros = 1_800_000_000 * SECOND


class Listed:
    """`cronq.plan.FireTimes` that are simply listed."""

    def __init__(self, fire_times: Sequence[Micros]) -> None:
        self.fire_times = sorted(fire_times)

    def next_us(self, after: Micros) -> Micros | None:
        index = bisect_right(self.fire_times, after)
        return self.fire_times[index] if index < len(self.fire_times) else None

    def prev_us(self, before: Micros) -> Micros | None:
        index = bisect_left(self.fire_times, before)
        return self.fire_times[index - 1] if index else None

    def iter_us(self, start: Micros, end: Micros) -> Iterator[Micros]:
        yield from self.fire_times[bisect_left(self.fire_times, start) : bisect_left(self.fire_times, end)]

    def count_us(self, start: Micros, end: Micros) -> int:
        return max(0, bisect_left(self.fire_times, end) - bisect_left(self.fire_times, start))


def at(minute: float) -> Micros:
    return BASE + round(minute * MINUTE)


def minutes(first: int, last: int) -> Listed:
    return Listed([at(minute) for minute in range(first, last + 1)])


EVERY_MINUTE = minutes(0, 5000)


def job(watermark: float | None = 1, **fields: Any) -> Job:
    definition = Definition(Command(CommandKind.ARGV, ("true",)), "* * * * *")
    definition = definition._replace(**fields)
    return Job(7, "job", 1, definition, BASE, BASE, None if watermark is None else at(watermark))


def shown(launch: Launch) -> list[str]:
    """Return the entries in words, with minutes instead of instants."""
    words = []
    for entry in launch.entries:
        if isinstance(entry, Fire):
            words.append(f"{entry.trigger} {minute_of(entry.fire_at)}")
        else:
            span = f"{minute_of(entry.first_fire_at)}..{minute_of(entry.last_fire_at)}"
            words.append(f"{entry.outcome} {span} ×{entry.fire_count} {entry.reason}")
    return words


def minute_of(instant: Micros) -> str:
    return f"{(instant - BASE) / MINUTE:g}"


def next_minute(launch: Launch) -> str | None:
    return None if launch.next_fire_at is None else minute_of(launch.next_fire_at)


OLD = "late: older than the catch-up window"
BEYOND = "late: beyond the catch-up limit"
SUPERSEDED = "late: superseded by a newer fire time"
IS_ACTIVE = "overlap: a run is active"
TOGETHER = "overlap: due together with an earlier fire time"

# The machine was down from minute 0 to minute 5; with a grace of 1 min, 4 and 5 are on time.
MISFIRES = {
    CatchUp.SKIP: ["missed 1..3 ×3 late: catch-up skip"],
    CatchUp.LATEST: [f"missed 1..3 ×3 {SUPERSEDED}"],
    CatchUp.ALL: ["catch_up 1", "catch_up 2", "catch_up 3"],
}
ON_TIME = {
    Overlap.SKIP: ["schedule 4", f"skipped 5..5 ×1 {TOGETHER}"],
    Overlap.QUEUE: ["schedule 4", "schedule 5"],
    Overlap.REPLACE: ["skipped 4..4 ×1 overlap: replaced by the next fire time", "schedule 5"],
    Overlap.ALLOW: ["schedule 4", "schedule 5"],
}


@pytest.mark.parametrize("catch_up", CatchUp)
@pytest.mark.parametrize("overlap", Overlap)
def test_decide_after_an_outage_applies_both_policies(catch_up: CatchUp, overlap: Overlap) -> None:
    launch = decide(job(catch_up=catch_up, overlap=overlap), EVERY_MINUTE, Active(), at(5))
    # Runs that are being caught up are no reason to skip those after them.
    on_time = ["schedule 4", "schedule 5"] if catch_up is CatchUp.ALL else ON_TIME[overlap]
    assert shown(launch) == MISFIRES[catch_up] + on_time
    assert next_minute(launch) == "6"
    assert not launch.replaces


@pytest.mark.parametrize("catch_up", CatchUp)
@pytest.mark.parametrize(
    ("overlap", "active", "expected", "replaces"),
    [
        (Overlap.SKIP, Active(), ["schedule 1"], False),
        (Overlap.SKIP, Active(running=1), [f"skipped 1..1 ×1 {IS_ACTIVE}"], False),
        (Overlap.SKIP, Active(queued=1), [f"skipped 1..1 ×1 {IS_ACTIVE}"], False),
        (Overlap.QUEUE, Active(running=1), ["schedule 1"], False),
        (Overlap.REPLACE, Active(), ["schedule 1"], False),
        (Overlap.REPLACE, Active(running=1), ["schedule 1"], True),
        (Overlap.REPLACE, Active(queued=1), ["schedule 1"], True),
        (Overlap.ALLOW, Active(queued=7, running=9), ["schedule 1"], False),
    ],
)
def test_decide_on_time_asks_only_the_overlap_policy(
    catch_up: CatchUp, overlap: Overlap, active: Active, expected: list[str], replaces: bool
) -> None:
    launch = decide(job(catch_up=catch_up, overlap=overlap), EVERY_MINUTE, active, at(1))
    assert shown(launch) == expected
    assert launch.replaces is replaces
    assert next_minute(launch) == "2"


@pytest.mark.parametrize(
    ("fields", "active", "started", "skipped"),
    [
        ({"overlap": Overlap.SKIP, "max_running": 3}, Active(running=1), 2, TOGETHER),
        ({"overlap": Overlap.SKIP, "max_running": 3}, Active(queued=1, running=2), 0, "overlap: 3 active"),
        ({"overlap": Overlap.SKIP, "max_running": 2}, Active(running=5), 0, "overlap: 2 active"),
        ({"overlap": Overlap.SKIP, "max_running": None}, Active(), 1, TOGETHER),
        ({"overlap": Overlap.QUEUE, "max_queued": 0}, Active(), 1, "overlap: the queue is full (0)"),
        ({"overlap": Overlap.QUEUE, "max_queued": 0}, Active(running=1), 0, "overlap: the queue is full (0)"),
        ({"overlap": Overlap.QUEUE, "max_queued": 2}, Active(running=1), 2, "overlap: the queue is full (2)"),
        ({"overlap": Overlap.QUEUE, "max_queued": 2}, Active(queued=1, running=1), 1, None),
        ({"overlap": Overlap.QUEUE, "max_queued": 1, "max_running": 2}, Active(), 3, None),
        ({"overlap": Overlap.QUEUE, "max_queued": 1}, Active(queued=9, running=1), 0, None),
    ],
)
def test_decide_with_room_for_some_starts_the_oldest_and_skips_the_rest(
    fields: dict[str, Any], active: Active, started: int, skipped: str | None
) -> None:
    launch = decide(job(grace_s=600, **fields), EVERY_MINUTE, active, at(6))
    assert launch.entries[:started] == tuple(
        Fire(at(minute), Trigger.SCHEDULE) for minute in range(1, 1 + started)
    )
    (rest,) = launch.entries[started:]
    assert isinstance(rest, Passed)
    assert (rest.first_fire_at, rest.last_fire_at, rest.fire_count) == (at(1 + started), at(6), 6 - started)
    assert rest.outcome is Outcome.SKIPPED
    assert skipped is None or rest.reason == skipped


@pytest.mark.parametrize(
    ("late_us", "trigger"),
    [
        (0, Trigger.SCHEDULE),
        (60 * SECOND - 1, Trigger.SCHEDULE),
        (60 * SECOND, Trigger.SCHEDULE),
        (60 * SECOND + 1, Trigger.CATCH_UP),
    ],
)
def test_decide_at_the_edge_of_grace_includes_the_edge(late_us: int, trigger: Trigger) -> None:
    only = Listed([at(1)])
    launch = decide(job(catch_up=CatchUp.ALL), only, Active(), at(1) + late_us)
    assert launch.entries == (Fire(at(1), trigger),)
    assert launch.next_fire_at is None


def test_decide_without_grace_keeps_only_the_present_fire_time() -> None:
    launch = decide(job(grace_s=0, catch_up=CatchUp.SKIP), EVERY_MINUTE, Active(), at(3))
    assert shown(launch) == ["missed 1..2 ×2 late: catch-up skip", "schedule 3"]


def test_decide_with_grace_longer_than_the_outage_catches_nothing_up() -> None:
    launch = decide(
        job(grace_s=1e9, catch_up=CatchUp.SKIP, overlap=Overlap.ALLOW), EVERY_MINUTE, Active(), at(3)
    )
    assert shown(launch) == ["schedule 1", "schedule 2", "schedule 3"]


def test_decide_latest_without_one_on_time_runs_the_newest_misfire() -> None:
    hourly = Listed([at(60 * hour) for hour in range(9)])
    launch = decide(job(60), hourly, Active(running=1), at(250))
    assert shown(launch) == [f"missed 60..180 ×3 {SUPERSEDED}", "catch_up 240"]
    assert next_minute(launch) == "300"


def test_decide_latest_with_one_misfire_runs_it() -> None:
    hourly = Listed([at(60 * hour) for hour in range(9)])
    assert shown(decide(job(60), hourly, Active(), at(70))) == ["catch_up 60"]


@pytest.mark.parametrize(
    ("window_s", "limit", "expected"),
    [
        (1e9, 100, ["catch_up 1", "catch_up 2", "catch_up 3", "catch_up 4"]),
        (1e9, 2, [f"missed 1..2 ×2 {BEYOND}", "catch_up 3", "catch_up 4"]),
        (1e9, 0, [f"missed 1..4 ×4 {BEYOND}"]),
        (240, 100, [f"missed 1..1 ×1 {OLD}", "catch_up 2", "catch_up 3", "catch_up 4"]),
        (239, 100, [f"missed 1..2 ×2 {OLD}", "catch_up 3", "catch_up 4"]),
        (240, 1, [f"missed 1..1 ×1 {OLD}", f"missed 2..3 ×2 {BEYOND}", "catch_up 4"]),
        (240, 3, [f"missed 1..1 ×1 {OLD}", "catch_up 2", "catch_up 3", "catch_up 4"]),
        (90, 5, [f"missed 1..4 ×4 {OLD}"]),
        (0, 5, [f"missed 1..4 ×4 {OLD}"]),
    ],
)
def test_decide_all_is_bounded_by_window_and_limit(window_s: float, limit: int, expected: list[str]) -> None:
    policies: dict[str, Any] = {
        "catch_up": CatchUp.ALL,
        "catch_up_window_s": window_s,
        "catch_up_limit": limit,
    }
    launch = decide(job(**policies), minutes(0, 4), Active(), at(6))
    assert shown(launch) == expected
    assert launch.next_fire_at is None


@pytest.mark.parametrize("catch_up", [CatchUp.LATEST, CatchUp.ALL])
def test_decide_after_an_outage_longer_than_the_window_makes_one_row(catch_up: CatchUp) -> None:
    launch = decide(job(catch_up=catch_up, catch_up_window_s=60), minutes(0, 100), Active(), at(200))
    assert shown(launch) == [f"missed 1..100 ×100 {OLD}"]


def test_decide_on_time_in_a_batch_leaves_the_rest_due() -> None:
    seconds = Listed([BASE + n * SECOND for n in range(1, BATCH + 501)])
    subject = job(1 / 60, grace_s=1e6, overlap=Overlap.ALLOW)
    now = BASE + (BATCH + 500) * SECOND
    first = decide(subject, seconds, Active(), now)
    assert len(first.entries) == BATCH
    assert first.next_fire_at == BASE + (BATCH + 1) * SECOND
    second = decide(subject._replace(next_fire_at=first.next_fire_at), seconds, Active(), now)
    assert len(second.entries) == 500
    assert second.next_fire_at is None


def test_decide_catching_up_more_than_a_batch_comes_back_for_the_rest() -> None:
    seconds = Listed([BASE + n * SECOND for n in range(1, 2501)])
    subject = job(1 / 60, catch_up=CatchUp.ALL, catch_up_limit=2200)
    now = BASE + 4000 * SECOND
    fired: list[Micros] = []
    passed: list[Passed] = []
    sizes = []
    while subject.next_fire_at is not None:
        launch = decide(subject, seconds, Active(), now)
        fired += [entry.fire_at for entry in launch.entries if isinstance(entry, Fire)]
        passed += [entry for entry in launch.entries if isinstance(entry, Passed)]
        sizes.append(len(launch.entries))
        subject = subject._replace(next_fire_at=launch.next_fire_at)
    assert passed == [Passed(BASE + SECOND, BASE + 300 * SECOND, 300, Outcome.MISSED, BEYOND)]
    assert fired == seconds.fire_times[300:]
    assert sizes == [BATCH + 1, BATCH, 200]


def test_decide_with_a_full_batch_of_misfires_leaves_those_on_time_due() -> None:
    seconds = Listed([BASE + n * SECOND for n in range(1, BATCH + 11)])
    subject = job(1 / 60, catch_up=CatchUp.ALL, catch_up_limit=10_000, grace_s=9)
    launch = decide(subject, seconds, Active(), BASE + (BATCH + 10) * SECOND)
    assert len(launch.entries) == BATCH
    assert {entry.trigger for entry in launch.entries if isinstance(entry, Fire)} == {Trigger.CATCH_UP}
    assert launch.next_fire_at == BASE + (BATCH + 1) * SECOND


def test_decide_with_a_huge_catch_up_limit_does_not_walk_it() -> None:
    every_second = parse("every 1s")
    subject = job(0, catch_up=CatchUp.ALL, catch_up_limit=1_000_000, catch_up_window_s=1e9)
    asked = 0

    class Counting:
        def __getattr__(self, name: str) -> object:
            nonlocal asked
            asked += 1
            return getattr(every_second, name)

    launch = decide(subject, Counting(), Active(), BASE + 2_000_000 * SECOND)  # type: ignore[arg-type]
    assert [type(entry) for entry in launch.entries[:2]] == [Passed, Fire]
    assert launch.entries[0].fire_count == 999_940  # type: ignore[union-attr]
    assert asked < 100


@pytest.mark.parametrize("watermark", [None, 10])
def test_decide_before_the_watermark_decides_nothing_and_leaves_it(watermark: float | None) -> None:
    subject = job(watermark)
    assert decide(subject, EVERY_MINUTE, Active(), at(9)) == Launch(subject, (), subject.next_fire_at)


def test_decide_after_the_clock_was_set_back_does_not_move_the_watermark_back() -> None:
    fired = decide(job(10), EVERY_MINUTE, Active(), at(10))
    subject = fired.job._replace(next_fire_at=fired.next_fire_at)
    assert next_minute(decide(subject, EVERY_MINUTE, Active(), at(3))) == "11"
    assert next_minute(pass_over(subject, EVERY_MINUTE, at(3), Outcome.SKIPPED, "paused")) == "11"


def test_decide_at_a_watermark_that_is_no_fire_time_any_more_says_so_and_goes_on() -> None:
    launch = decide(job(1.5), EVERY_MINUTE, Active(), at(2))
    assert shown(launch) == [f"missed 1.5..1.5 ×1 {LAPSED}", "schedule 2"]
    moved = decide(job(1.5), EVERY_MINUTE, Active(), at(1.7))
    assert (shown(moved), next_minute(moved)) == ([f"missed 1.5..1.5 ×1 {LAPSED}"], "2")
    assert has_lapsed(launch)
    assert has_lapsed(moved)
    assert not has_lapsed(decide(job(2), EVERY_MINUTE, Active(), at(2)))


def test_decide_at_a_watermark_after_the_last_fire_time_ends_the_schedule() -> None:
    assert decide(job(9), minutes(0, 3), Active(), at(10)).next_fire_at is None


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        (CatchUp.SKIP, ["missed 1..1 ×1 late: catch-up skip"]),
        (CatchUp.LATEST, ["catch_up 1"]),
        (CatchUp.ALL, ["catch_up 1"]),
    ],
)
def test_decide_one_off_in_the_past_follows_the_catch_up_policy(
    catch_up: CatchUp, expected: list[str]
) -> None:
    launch = decide(job(catch_up=catch_up), Listed([at(1)]), Active(), at(90))
    assert shown(launch) == expected
    assert launch.next_fire_at is None


def test_decide_carries_the_job_as_it_was_read() -> None:
    subject = job()
    assert decide(subject, EVERY_MINUTE, Active(), at(1)).job is subject


@pytest.mark.parametrize(
    ("watermark", "now", "expected", "following"),
    [
        (1, 1, ["skipped 1..1 ×1 why"], "2"),
        (1, 5.5, ["skipped 1..5 ×5 why"], "6"),
        (1.5, 1.7, ["skipped 1.5..1.5 ×1 why"], "2"),
        (5, 1, [], "5"),
        (None, 1, [], None),
        (1, 9000, ["skipped 1..5000 ×5000 why"], None),
    ],
)
def test_pass_over_makes_one_row_of_all_that_is_due(
    watermark: float | None, now: float, expected: list[str], following: str | None
) -> None:
    launch = pass_over(job(watermark), EVERY_MINUTE, at(now), Outcome.SKIPPED, "why")
    assert shown(launch) == expected
    assert next_minute(launch) == following
    assert not launch.replaces


def test_pass_over_records_the_given_outcome() -> None:
    (entry,) = pass_over(job(), EVERY_MINUTE, at(3), Outcome.MISSED, "gone").entries
    assert entry == Passed(at(1), at(3), 3, Outcome.MISSED, "gone")


# After an attempt


def run(**fields: object) -> Run:
    subject = Run(42, 7, "job", 1, Trigger.SCHEDULE, State.RUNNING, BASE, BASE, BASE, attempt=1)
    return subject._replace(**fields)  # type: ignore[arg-type]


def retrying(**fields: object) -> Definition:
    return job().definition._replace(**{"retries": 3, "retry_jitter": 0.0, **fields})  # type: ignore[arg-type]


DELAY = 10 * SECOND
ENDED = Retry(None, counts=False)
SPENT = Retry(None, counts=True)
AGAIN = Retry(BASE + DELAY, counts=True)
FREE = Retry(BASE + DELAY, counts=False)


@pytest.mark.parametrize(
    ("outcome", "on_crash", "failures", "expected"),
    [
        *[(Outcome.SUCCESS, on_crash, 0, ENDED) for on_crash in OnCrash],
        *[(Outcome.CANCELLED, on_crash, 0, ENDED) for on_crash in OnCrash],
        *[(Outcome.FAILURE, on_crash, 0, AGAIN) for on_crash in OnCrash],
        *[(Outcome.FAILURE, on_crash, 3, SPENT) for on_crash in OnCrash],
        *[(Outcome.TIMEOUT, on_crash, 0, AGAIN) for on_crash in OnCrash],
        *[(Outcome.TIMEOUT, on_crash, 3, SPENT) for on_crash in OnCrash],
        (Outcome.ABANDONED, OnCrash.RETRY, 0, AGAIN),
        (Outcome.ABANDONED, OnCrash.RETRY, 3, SPENT),
        (Outcome.ABANDONED, OnCrash.RERUN, 0, FREE),
        (Outcome.ABANDONED, OnCrash.RERUN, 3, Retry(BASE + 8 * DELAY, counts=False)),
        (Outcome.ABANDONED, OnCrash.FAIL, 0, SPENT),
    ],
)
def test_after_attempt_by_outcome_and_crash_rule(
    outcome: Outcome, on_crash: OnCrash, failures: int, expected: Retry
) -> None:
    ended = run(attempt=failures + 1, failures=failures)
    assert after_attempt(retrying(on_crash=on_crash), ended, outcome, BASE) == expected


@pytest.mark.parametrize("outcome", [o for o in Outcome if o not in {Outcome.SKIPPED, Outcome.MISSED}])
def test_after_attempt_that_was_to_be_stopped_ends_the_run(outcome: Outcome) -> None:
    assert after_attempt(retrying(), run(stop_reason="cancelled"), outcome, BASE) == ENDED


def test_after_attempt_without_retries_ends_the_run() -> None:
    for outcome in (Outcome.FAILURE, Outcome.TIMEOUT, Outcome.ABANDONED):
        assert after_attempt(retrying(retries=0), run(), outcome, BASE) == SPENT


def delays(count: int, **fields: object) -> list[float]:
    definition = retrying(retries=10_000, **fields)
    found = []
    for failures in range(count):
        retry = after_attempt(definition, run(attempt=failures + 1, failures=failures), Outcome.FAILURE, BASE)
        assert retry.at is not None
        found.append((retry.at - BASE) / SECOND)
    return found


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [10, 20, 40, 80, 160]),
        ({"retry_max_delay_s": 45}, [10, 20, 40, 45, 45]),
        ({"retry_factor": 1}, [10, 10, 10, 10, 10]),
        ({"retry_factor": 1.5}, [10, 15, 22.5, 33.75, 50.625]),
        ({"retry_delay_s": 0}, [0, 0, 0, 0, 0]),
        ({"retry_delay_s": 9000}, [3600, 3600, 3600, 3600, 3600]),
    ],
)
def test_after_attempt_delays_grow_up_to_the_cap(fields: dict[str, Any], expected: list[float]) -> None:
    assert delays(5, **fields) == expected


@pytest.mark.parametrize("factor", [2.0, 1000.0, 1e300])
def test_after_attempt_thousands_of_times_stays_at_the_cap(factor: float) -> None:
    assert delays(2000, retry_factor=factor)[-1] == 3600
    assert delays(2000, retry_factor=factor, retry_delay_s=0)[-1] == 0


def test_after_attempt_jitter_shortens_by_at_most_its_share_and_spreads() -> None:
    definition = retrying(retry_jitter=0.5)
    found = []
    for run_id in range(500):
        retry = after_attempt(definition, run(id=run_id), Outcome.FAILURE, BASE)
        assert retry.at is not None
        found.append((retry.at - BASE) / SECOND)
    assert all(5 <= delay <= 10 for delay in found)
    assert min(found) < 5.2
    assert max(found) > 9.8


def test_after_attempt_jitter_is_stable_for_run_and_attempt() -> None:
    definition = retrying(retry_jitter=1.0)
    first = after_attempt(definition, run(), Outcome.FAILURE, BASE)
    assert after_attempt(definition, run(), Outcome.FAILURE, BASE) == first
    assert after_attempt(definition, run(id=43), Outcome.FAILURE, BASE) != first
    assert after_attempt(definition, run(attempt=2), Outcome.FAILURE, BASE) != first


def test_active_total_counts_both() -> None:
    assert plan.Active(queued=2, running=3).total == 5
