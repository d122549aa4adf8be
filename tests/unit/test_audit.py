"""Comparing what should be recorded with what is: every kind of difference, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from cronq.audit import Difference, Era, Kind, Recorded, differences
from cronq.model import SECOND, Micros
from cronq.schedule import parse

MINUTE = 60 * SECOND
DAY = 1440 * MINUTE
T0: Micros = 1_767_225_600 * SECOND  # 2026-01-01T00:00Z

MINUTELY = parse("* * * * *")
HOURLY = parse("0 * * * *")


def one(run_id: int, fire_at: Micros) -> Recorded:
    return Recorded(run_id, fire_at, fire_at, 1, "success")


def span(run_id: int, first: Micros, last: Micros, count: int) -> Recorded:
    return Recorded(run_id, first, last, count, "missed")


def minutes(first: int, last: int, run_id: int = 1) -> list[Recorded]:
    return [one(run_id + n - first, T0 + n * MINUTE) for n in range(first, last + 1)]


def found(
    rows: Sequence[Recorded],
    eras: Sequence[Era] = (Era(1, T0, MINUTELY),),
    *,
    start: Micros = T0,
    end: Micros = T0 + 10 * MINUTE,
) -> list[Difference]:
    return list(differences(eras, rows, start, end))


def test_a_row_for_each_fire_time_is_sound() -> None:
    assert found(minutes(1, 9)) == []


def test_what_lies_on_the_bounds_belongs_to_neither_side() -> None:
    assert found([], end=T0 + MINUTE) == []
    assert [d.kind for d in found([], end=T0 + MINUTE + 1)] == [Kind.MISSING]
    assert found([], start=T0 + 9 * MINUTE) == []


def test_missing_fire_times_are_one_stretch_with_its_count() -> None:
    (gap,) = found(minutes(1, 3) + minutes(7, 9, 4))
    assert gap == Difference(Kind.MISSING, T0 + 4 * MINUTE, T0 + 6 * MINUTE, 3, revision=1)


def test_missing_at_the_end_and_everywhere() -> None:
    assert [(d.kind, d.fire_count) for d in found(minutes(1, 5))] == [(Kind.MISSING, 4)]
    assert [(d.kind, d.fire_count) for d in found([])] == [(Kind.MISSING, 9)]


def test_a_long_gap_is_counted_and_not_walked() -> None:
    (gap,) = found([], (Era(1, T0, parse("* * * * * *")),), end=T0 + 3650 * DAY)
    assert (gap.fire_count, gap.last) == (3650 * 86_400 - 1, T0 + 3650 * DAY - SECOND)


def test_an_instant_that_is_no_fire_time_is_extra() -> None:
    rows = [*minutes(1, 4), one(5, T0 + 4 * MINUTE + SECOND), *minutes(5, 9, 6)]
    assert found(rows) == [
        Difference(*(Kind.EXTRA, T0 + 4 * MINUTE + SECOND, T0 + 4 * MINUTE + SECOND, 1), run_id=5, revision=1)
    ]


def test_a_row_before_the_job_or_beyond_its_watermark_is_extra() -> None:
    assert [(d.kind, d.run_id) for d in found([one(1, T0 - MINUTE), *minutes(1, 9, 2)])] == [(Kind.EXTRA, 1)]
    assert [(d.kind, d.run_id) for d in found(minutes(1, 10))] == [(Kind.EXTRA, 10)]


def test_two_rows_for_one_fire_time_are_doubled() -> None:
    rows = [*minutes(1, 3), one(4, T0 + 3 * MINUTE), *minutes(4, 9, 5)]
    assert [(d.kind, d.run_id) for d in found(rows)] == [(Kind.DOUBLED, 4)]


def test_a_row_within_a_span_is_doubled() -> None:
    rows = [span(1, T0 + MINUTE, T0 + 6 * MINUTE, 6), one(2, T0 + 3 * MINUTE), *minutes(7, 9, 3)]
    assert [(d.kind, d.run_id) for d in found(rows)] == [(Kind.DOUBLED, 2)]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (span(1, T0 + MINUTE, T0 + 9 * MINUTE, 9), []),
        (span(1, T0 + MINUTE, T0 + 9 * MINUTE, 8), [(Kind.COUNT, 9)]),
        (span(1, T0 + MINUTE, T0 + 9 * MINUTE + SECOND, 9), [(Kind.COUNT, 9)]),
        (span(1, T0 + MINUTE, T0 + 8 * MINUTE, 9), [(Kind.COUNT, 8), (Kind.MISSING, None)]),
        (span(1, T0 + MINUTE + SECOND, T0 + 9 * MINUTE, 9), [(Kind.MISSING, None), (Kind.EXTRA, None)]),
    ],
)
def test_a_span_has_the_count_and_the_ends_of_its_fire_times(
    row: Recorded, expected: list[tuple[Kind, int | None]]
) -> None:
    assert [(d.kind, d.expected) for d in found([row])] == expected


def test_a_span_is_counted_and_not_walked() -> None:
    every_second = (Era(1, T0, parse("* * * * * *")),)
    end = T0 + 3650 * DAY
    assert found([span(1, T0 + SECOND, end - SECOND, 3650 * 86_400 - 1)], every_second, end=end) == []


def test_a_row_that_begins_before_what_is_asked_about_is_looked_at_whole() -> None:
    row = span(1, T0 + MINUTE, T0 + 6 * MINUTE, 6)
    assert found([row, *minutes(7, 9, 2)], start=T0 + 4 * MINUTE) == []
    wrong = row._replace(fire_count=5)
    assert [d.kind for d in found([wrong, *minutes(7, 9, 2)], start=T0 + 4 * MINUTE)] == [Kind.COUNT]


def test_a_span_that_begins_before_the_job_is_extra() -> None:
    row = span(1, T0 - MINUTE, T0 + 6 * MINUTE, 8)
    assert [d.kind for d in found([row, *minutes(7, 9, 2)])] == [Kind.EXTRA]


def test_rows_are_written_in_the_order_of_their_fire_times() -> None:
    rows = [*minutes(1, 4), one(3, T0 + 5 * MINUTE), *minutes(6, 9, 6)]
    assert [(d.kind, d.run_id) for d in found(rows)] == [(Kind.ORDER, 3)]


def test_each_instant_belongs_to_the_definition_then_in_force() -> None:
    eras = (Era(1, T0, MINUTELY), Era(2, T0 + 5 * MINUTE, HOURLY), Era(3, T0 + 120 * MINUTE, MINUTELY))
    rows = [*minutes(1, 5), one(6, T0 + 60 * MINUTE), one(7, T0 + 120 * MINUTE), *minutes(121, 123, 8)]
    assert found(rows, eras, end=T0 + 124 * MINUTE) == []
    wrong = [*rows[:5], one(6, T0 + 6 * MINUTE), *rows[5:]]
    assert [(d.kind, d.revision) for d in found(wrong, eras, end=T0 + 124 * MINUTE)] == [
        (Kind.EXTRA, 2),
        (Kind.ORDER, 2),
    ]


def test_definitions_of_one_instant_leave_only_the_last() -> None:
    eras = (Era(1, T0, parse("30 * * * *")), Era(2, T0, MINUTELY))
    assert found(minutes(1, 9), eras) == []


def test_a_later_definition_that_begins_earlier_wins() -> None:
    eras = (
        Era(1, T0, MINUTELY),
        Era(2, T0 + 7 * MINUTE, HOURLY),
        Era(3, T0 + 3 * MINUTE, parse("*/2 * * * *")),
    )
    rows = [*minutes(1, 3), *(one(4 + n, T0 + (4 + 2 * n) * MINUTE) for n in range(3))]
    assert found(rows, eras) == []


def test_what_cannot_be_computed_is_told_and_proves_nothing() -> None:
    eras = (Era(1, T0, MINUTELY), Era(2, T0 + 4 * MINUTE, None), Era(3, T0 + 7 * MINUTE, MINUTELY))
    rows = [*minutes(1, 4), one(5, T0 + 5 * MINUTE + 1), *minutes(8, 9, 6)]
    assert found(rows, eras) == [
        Difference(
            *(Kind.UNCOMPUTABLE, T0 + 4 * MINUTE + 1, T0 + 7 * MINUTE, 1), revision=2, is_certain=False
        )
    ]


def test_other_zone_data_make_differences_uncertain() -> None:
    assert [d.is_certain for d in found([], (Era(1, T0, MINUTELY, is_certain=False),))] == [False]


def test_what_passed_while_nothing_could_be_computed_is_uncertain() -> None:
    rows = [*minutes(1, 3), one(4, T0 + 4 * MINUTE)._replace(is_last_known=True), *minutes(8, 9, 5)]
    (gap,) = found(rows)
    assert (gap.kind, gap.fire_count, gap.is_certain) == (Kind.MISSING, 3, False)


def test_a_job_without_definitions_has_no_rows() -> None:
    assert [d.kind for d in found(minutes(1, 2), ())] == [Kind.EXTRA, Kind.EXTRA]


def test_random_ledgers_that_are_sound_and_one_change_each() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(300):
        eras, rows, end = _sound(rng)
        assert found(rows, eras, end=end) == []
        assert found(_changed(rng, rows), eras, end=end) != []


def _sound(rng: random.Random) -> tuple[list[Era], list[Recorded], Micros]:
    texts = ["* * * * *", "*/7 * * * *", "every 90s", "0 * * * *", "3,33 */2 * * *"]
    since, run_id = T0, 0
    eras: list[Era] = []
    rows: list[Recorded] = []
    for revision in range(1, rng.randint(2, 5)):
        times = parse(rng.choice(texts))
        until = since + rng.randint(1, 600) * MINUTE + rng.randrange(MINUTE)
        eras.append(Era(revision, since, times))
        at = list(times.iter_us(since + 1, until + 1))
        while at:
            size = rng.choice([1, 1, 1, 2, 5, 2000])
            some, at = at[:size], at[size:]
            run_id += rng.randint(1, 3)
            rows.append(span(run_id, some[0], some[-1], len(some)))
        since = until
    return eras, rows, since + 1


def _changed(rng: random.Random, rows: list[Recorded]) -> list[Recorded]:
    if not rows:
        return [one(1, T0 + MINUTE)]
    index = rng.randrange(len(rows))
    row = rows[index]
    step = rng.choice([-1, 1]) * SECOND
    kind = rng.randrange(4)
    if kind == 0:
        return rows[:index] + rows[index + 1 :]
    if kind == 1:
        moved = row._replace(fire_at=row.fire_at + step)
        if row.fire_count == 1:
            moved = moved._replace(last_fire_at=moved.fire_at)
        return [*rows[:index], moved, *rows[index + 1 :]]
    if kind == 2:
        return [*rows[:index], row._replace(fire_count=row.fire_count + 1), *rows[index + 1 :]]
    return [*rows[: index + 1], row, *rows[index + 1 :]]
