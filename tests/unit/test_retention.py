"""What `--keep` says, and which runs are beyond it."""

from __future__ import annotations

import random

import pytest

from cronq.errors import CronqError
from cronq.model import SECOND
from cronq.retention import Edge, Keep, Row, beyond_size, edge_of, parse_keep, surplus

DAY_S = 86_400.0
NOW = 1_800_000_000 * SECOND


@pytest.mark.parametrize(
    ("text", "keep", "normal"),
    [
        ("30d", Keep(age_s=30 * DAY_S), "30d"),
        ("2w", Keep(age_s=14 * DAY_S), "14d"),
        ("1d12h", Keep(age_s=1.5 * DAY_S), "1d12h"),
        ("1000", Keep(runs=1000), "1000"),
        ("1G", Keep(size=2**30), "1G"),
        ("30d,1000,1G", Keep(30 * DAY_S, 1000, 2**30), "30d,1000,1G"),
        (" 1.5GiB , 12h ,7", Keep(12 * 3600, 7, 3 * 2**29), "12h,7,1536M"),
        ("500min", Keep(age_s=30_000), "8h20m"),
        ("5min", Keep(age_s=300), "5min"),
        ("1h30m", Keep(age_s=5400), "1h30m"),
        ("500M", Keep(size=500 * 2**20), "500M"),
        ("500mb", Keep(size=500 * 2**20), "500M"),
        ("64k", Keep(size=2**16), "64K"),
        ("1001B", Keep(size=1001), "1001B"),
    ],
)
def test_limits_are_read_and_written(text: str, keep: Keep, normal: str) -> None:
    assert parse_keep(text) == keep
    assert keep.text == normal
    assert parse_keep(normal) == keep


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a limit is missing"),
        ("30d,", "a limit is missing"),
        ("30d,,5", "a limit is missing"),
        ("0", "0 is out of range"),
        ("9999999999", "out of range"),
        ("500m", "may be minutes or megabytes"),
        ("1d,2w", "names two ages"),
        ("1,2", "names two numbers of runs"),
        ("1G,2M", "names two sizes"),
        ("0s", "too short"),
        ("500ms", "too short"),
        ("0K", "too small"),
        ("-1", "is no limit"),
        ("1000runs", "unknown unit"),
        ("none", "is no limit"),
        ("1.2.3M", "is no size"),
        ("300y", "unknown unit"),
        ("9000000000T", "too large"),
    ],
)
def test_what_is_no_limit_is_refused(text: str, message: str) -> None:
    with pytest.raises(CronqError) as caught:
        parse_keep(text)
    assert message in caught.value.message


def test_normal_form_of_random_limits_is_read_as_the_same() -> None:
    seed = random.randrange(10**9)
    rng = random.Random(seed)
    for _ in range(500):
        keep = Keep(
            rng.choice(
                [None, float(rng.randint(1, 10 ** rng.randint(1, 9))), rng.randint(1000, 10**8) / 1000]
            ),
            rng.choice([None, rng.randint(1, 10**9)]),
            rng.choice([None, rng.randint(1, 2**40), 2 ** rng.randint(0, 40)]),
        )
        if keep != Keep():
            assert parse_keep(keep.text) == keep, (seed, keep)


def row(run_id: int, finished_s: float | None, queued_s: float | None = None) -> Row:
    """A run that was queued and finished so many seconds before now."""
    queued_s = finished_s if queued_s is None else queued_s
    finished_at = None if finished_s is None else NOW - round(finished_s * SECOND)
    return Row(run_id, 1, NOW - round((queued_s or 0) * SECOND), finished_at)


def going(edge: Edge, *rows: Row, spared: frozenset[int] = frozenset()) -> tuple[list[int], bool]:
    gone, is_over = surplus(edge, rows, spared)
    return [one.id for one in gone], is_over


def test_age_counts_from_the_end_of_a_run() -> None:
    edge = edge_of(Keep(age_s=60), NOW)
    rows = [row(1, 62), row(2, 59, queued_s=62), row(3, 61), row(4, 60), row(5, 10), row(6, 99)]
    assert going(edge, *rows) == ([1, 3], True)


def test_age_looks_past_runs_of_a_clock_that_was_ahead() -> None:
    edge = edge_of(Keep(age_s=60), NOW)
    assert going(edge, row(1, -3600), row(2, 100)) == ([2], False)


def test_no_limit_lets_everything_stay() -> None:
    assert going(edge_of(Keep(), NOW), row(1, 10**9)) == ([], True)


def test_only_done_runs_go_and_the_spared_stay() -> None:
    edge = edge_of(Keep(runs=1), NOW, beyond=[4, None])
    rows = [row(1, 9), row(2, None, queued_s=8), row(3, 7), row(4, 6), row(5, 5)]
    assert going(edge, *rows, spared=frozenset({3})) == ([1, 4], True)


def test_the_strictest_limit_counts() -> None:
    assert edge_of(Keep(1.0, 1, 1), NOW, beyond=[3, 7]).run_id == 7


@pytest.mark.parametrize(
    ("limit", "sizes", "expected"),
    [
        (10, [], (None, 0)),
        (10, [4, 6], (None, 10)),
        (10, [4, 6, 1], (1, 11)),
        (10, [11, 1], (2, 11)),
        (10, [0, 0, 0], (None, 0)),
    ],
)
def test_size_adds_up_from_the_newest(limit: int, sizes: list[int], expected: tuple[int | None, int]) -> None:
    numbered = list(zip(range(len(sizes), 0, -1), sizes, strict=True))
    assert beyond_size(limit, numbered) == expected
    # The same, page by page.
    found, spent = None, 0
    for one in numbered:
        found, spent = beyond_size(limit, [one], spent)
        if found is not None:
            break
    assert (found, spent) == expected
