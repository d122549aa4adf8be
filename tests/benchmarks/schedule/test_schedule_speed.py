"""How fast schedules are: beside croniter and cronsim, and within their own limits.

``python -m tests.benchmarks.schedule.peers`` prints the whole table; the `slow` tests here hold the
targets. The others run once in the default suite and are measured with ``--benchmark-enable``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest

from cronq.errors import ScheduleError
from cronq.schedule import parse
from cronq.schedule.parse import forget
from tests.benchmarks.schedule.peers import (
    EXPRESSIONS,
    ZONES,
    Row,
    cached_row,
    next_row,
    parse_row,
    stream_row,
)

START = datetime(2026, 5, 3, 12, 7, 31, tzinfo=UTC)
END = datetime(2199, 1, 1, tzinfo=UTC)
FREQUENT = ("* * * * *", "*/5 * * * *")

# What takes longest to search: rare days, rare weekdays of leap days, unions, named years, far starts.
HARD = (
    "0 0 29 2 */7",
    "59 23 31 12 5#5",
    "0 0 31W 2-3 *",
    "0 0 29W 2 *",
    "* * * * * * ; 0 0 29 2 * ; every 7h on mon ; @yearly",
    " ; ".join(f"{minute} {minute} 29 2 */7" for minute in range(16)),
    "every 18000d",
    "every 86401s on mon",
    "every 3000h on sun",
    "every 600 months on 31",
    "every 599 months on fri#5",
    "oncalendar: 2199-12-31",
    "oncalendar: Tue 2000..2199/28-02-29",
    "oncalendar: Mon *-02~01 23:59:59",
)


@pytest.mark.parametrize("tz", ZONES)
@pytest.mark.parametrize("text", EXPRESSIONS)
def test_next(benchmark: Callable[..., Any], text: str, tz: str) -> None:
    schedule = parse(text, tz=tz)
    assert benchmark(schedule.next, START) > START


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_prev(benchmark: Callable[..., Any], text: str) -> None:
    schedule = parse(text, tz="America/New_York")
    assert benchmark(schedule.prev, START) < START


@pytest.mark.parametrize("text", FREQUENT)
def test_a_thousand_streamed(benchmark: Callable[..., Any], text: str) -> None:
    schedule = parse(text, tz="America/New_York")
    assert benchmark(lambda: sum(1 for _ in islice(schedule.between(START, END), 1000))) == 1000


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_parse_cold(benchmark: Callable[..., Any], text: str) -> None:
    def cold() -> str:
        forget()
        return parse(text).text

    assert benchmark(cold) == text


def test_count_over_a_century(benchmark: Callable[..., Any]) -> None:
    schedule = parse("*/5 9-17 * * 1-5")
    assert benchmark(schedule.count_us, 0, 3_155_760_000_000_000) > 2_000_000


@pytest.mark.parametrize("text", HARD, ids=[text[:40] for text in HARD])
def test_no_search_takes_five_milliseconds(text: str) -> None:
    began = time.perf_counter()
    schedule = parse(text, tz="America/New_York")
    parse_s = time.perf_counter() - began
    forget()
    began = time.perf_counter()
    parse(text, tz="America/New_York")
    assert min(parse_s, time.perf_counter() - began) < 0.005
    for at in (START, datetime(2097, 1, 1, tzinfo=UTC), datetime(1971, 1, 1, tzinfo=UTC)):
        for ask in (schedule.next, schedule.prev):
            spent = []
            for _ in range(3):
                began = time.perf_counter()
                ask(at)
                spent.append(time.perf_counter() - began)
            assert min(spent) < 0.005, f"{text} at {at}"


def test_a_million_characters_are_refused_in_a_millisecond() -> None:
    spent = []
    for shift in range(3):
        text = "*/5 * * * * ; " * (72_000 + shift)
        began = time.perf_counter()
        with pytest.raises(ScheduleError):
            parse(text)
        spent.append(time.perf_counter() - began)
    assert min(spent) < 0.001


@pytest.mark.parametrize(
    "text", ["0 0 15W * */7", "0 0 31W 2 *", "oncalendar: Mon 2100..2199-02-30", "every 7d on tue"]
)
def test_never_is_found_out_within_five_milliseconds(text: str) -> None:
    spent = []
    for _ in range(3):
        began = time.perf_counter()
        with pytest.raises(ScheduleError, match="no fire time"):
            parse(text)
        spent.append(time.perf_counter() - began)
    assert min(spent) < 0.005


def told(row: Row) -> str:
    times = f"{row.cronq:.2f}, {row.croniter:.2f}, {row.cronsim:.2f}"
    return f"{row.question} {row.expression} {row.zone}: {times} µs"


@pytest.mark.slow
@pytest.mark.parametrize("tz", ZONES)
@pytest.mark.parametrize("text", EXPRESSIONS)
def test_next_is_ten_times_croniter_and_twice_cronsim(text: str, tz: str) -> None:
    row = next_row(text, tz)
    assert row.cronq * 10 <= row.croniter, told(row)
    assert row.cronq * 2 <= row.cronsim, told(row)


@pytest.mark.slow
@pytest.mark.parametrize("tz", ZONES)
@pytest.mark.parametrize("text", FREQUENT)
def test_streaming_is_twenty_times_croniter(text: str, tz: str) -> None:
    row = stream_row(text, tz)
    assert row.cronq * 20 <= row.croniter, told(row)


@pytest.mark.slow
@pytest.mark.parametrize("text", EXPRESSIONS)
def test_parsing_is_no_slower_than_croniters_expand(text: str) -> None:
    row = parse_row(text)
    assert row.cronq <= 1.25 * row.croniter, told(row)
    row = cached_row(text)
    assert row.cronq <= 0.1 * row.croniter, told(row)
