"""cronq, croniter and cronsim asked the same questions in one process.

Run it as a script for the whole table::

    python -m tests.benchmarks.schedule.peers

Times are medians of interleaved rounds, so that a noisy neighbour slows all three alike; the
ratios are what counts. Peers are used in their quickest way that gives the same answer: croniter
keeps its object and is given a new start, cronsim must be built anew for a new start.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from croniter import croniter
from cronsim import CronSim

from cronq.schedule import parse
from cronq.schedule.parse import forget

EXPRESSIONS = ("* * * * *", "*/5 * * * *", "0 9 * * 1-5", "0 0 29 2 *", "30 2 * * *")
ZONES = ("UTC", "America/New_York", "Australia/Lord_Howe")
_START = datetime(2026, 5, 3, 12, 7, 31, tzinfo=UTC)


class Row(NamedTuple):
    """Microseconds per operation."""

    question: str
    zone: str
    expression: str
    cronq: float
    croniter: float
    cronsim: float


def starts(count: int) -> list[datetime]:
    """Instants over a year, the same in each run."""
    rng = random.Random(20260503)
    return [_START + timedelta(seconds=rng.randrange(365 * 86400)) for _ in range(count)]


def medians(rounds: int, *questions: Callable[[], int]) -> list[float]:
    """Microseconds per operation of each question; each call returns how many operations it was."""
    spent: list[list[float]] = [[] for _ in questions]
    for _ in range(rounds):
        for place, question in enumerate(questions):
            began = time.perf_counter()
            count = question()
            spent[place].append((time.perf_counter() - began) / count * 1e6)
    return [statistics.median(times) for times in spent]


def next_row(expression: str, zone: str, *, count: int = 60, rounds: int = 15) -> Row:
    """`next` from random starts."""
    tz = ZoneInfo(zone)
    utc = starts(count)
    local = [at.astimezone(tz) for at in utc]
    schedule = parse(expression, tz=zone)
    engine = croniter(expression, local[0])

    def ask_cronq() -> int:
        for at in local:
            schedule.next(at)
        return count

    def ask_croniter() -> int:
        for at in local:
            engine.get_next(datetime, start_time=at)
        return count

    def ask_cronsim() -> int:
        for at in local:
            next(CronSim(expression, at))
        return count

    return Row("next", zone, expression, *medians(rounds, ask_cronq, ask_croniter, ask_cronsim))


def stream_row(expression: str, zone: str, *, count: int = 500, rounds: int = 9) -> Row:
    """Fire times one after another."""
    tz = ZoneInfo(zone)
    count = 20 if expression == "0 0 29 2 *" else count
    schedule = parse(expression, tz=zone)
    end = datetime(2199, 1, 1, tzinfo=UTC)
    local = _START.astimezone(tz)

    def drain(times: Iterator[object]) -> int:
        return sum(1 for _ in islice(times, count))

    return Row(
        "stream",
        zone,
        expression,
        *medians(
            rounds,
            lambda: drain(schedule.between(_START, end)),
            lambda: drain(croniter(expression, local).all_next(datetime)),
            lambda: drain(CronSim(expression, local)),
        ),
    )


def parse_row(expression: str, *, count: int = 50, rounds: int = 15) -> Row:
    """From text to something that can be asked."""

    def cold() -> int:
        for _ in range(count):
            forget()
            parse(expression)
        return count

    def ask_croniter() -> int:
        for _ in range(count):
            croniter.expand(expression)
        return count

    def ask_cronsim() -> int:
        for _ in range(count):
            CronSim(expression, _START)
        return count

    return Row("parse, cold", "UTC", expression, *medians(rounds, cold, ask_croniter, ask_cronsim))


def cached_row(expression: str, *, count: int = 500, rounds: int = 15) -> Row:
    """The same text again; the peers keep nothing, so theirs is a parse."""
    parse(expression)

    def again() -> int:
        for _ in range(count):
            parse(expression)
        return count

    cold = parse_row(expression)
    return Row("parse, cached", "UTC", expression, medians(rounds, again)[0], cold.croniter, cold.cronsim)


def rows() -> Iterator[Row]:
    """All measurements."""
    for expression in EXPRESSIONS:
        yield parse_row(expression)
        yield cached_row(expression)
    for question in (next_row, stream_row):
        for zone in ZONES:
            for expression in EXPRESSIONS:
                yield question(expression, zone)


def main() -> None:
    """Print the table."""
    print(f"{'':14}{'zone':21}{'expression':14}{'cronq':>9}{'croniter':>10}{'cronsim':>10}{'×':>8}{'×':>8}")
    for row in rows():
        faster = row.croniter / row.cronq, row.cronsim / row.cronq
        print(
            f"{row.question:14}{row.zone:21}{row.expression:14}{row.cronq:9.2f}{row.croniter:10.2f}"
            f"{row.cronsim:10.2f}{faster[0]:8.1f}{faster[1]:8.1f}"
        )


if __name__ == "__main__":
    main()
