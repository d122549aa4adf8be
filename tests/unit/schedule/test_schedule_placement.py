"""Jitter: read, stable, spread, and never as long as its span."""

from __future__ import annotations

import pytest

from cronq.schedule.placement import Jitter, delay_us, parse_jitter

STABLE = 258_276_659
RANDOM = 229_456_395


@pytest.mark.parametrize(
    ("text", "expected", "normal"),
    [
        ("5m", Jitter(300_000_000, False), "5m"),
        (" random:90s ", Jitter(90_000_000, True), "random:1m30s"),
        ("RANDOM:1h30m", Jitter(5_400_000_000, True), "random:1h30m"),
        ("250ms", Jitter(250_000, False), "250ms"),
        ("1w", Jitter(604_800_000_000, False), "1w"),
    ],
)
def test_jitter_is_read_and_written(text: str, expected: Jitter, normal: str) -> None:
    assert parse_jitter(text) == expected
    assert parse_jitter(text).text == normal
    assert parse_jitter(normal) == expected


def test_a_stable_delay_depends_on_the_name_alone() -> None:
    jitter = parse_jitter("5m")
    assert delay_us(jitter, "backup", 1, 2) == delay_us(jitter, "backup", 3, 4)
    # Written down: a change of the hash would move every job that uses it.
    assert delay_us(jitter, "backup", 0) == STABLE
    assert delay_us(jitter, "backup2", 0) != STABLE


def test_a_random_delay_depends_on_the_fire_time_and_can_be_repeated() -> None:
    jitter = parse_jitter("random:5m")
    assert delay_us(jitter, "backup", 1_790_000_000_000_000) == RANDOM
    assert len({delay_us(jitter, "backup", at) for at in range(100)}) == 100
    assert len({delay_us(jitter, "backup", 0, seed) for seed in range(100)}) == 100
    assert delay_us(jitter, "1\0x", 0) != delay_us(jitter, "x", 0)


@pytest.mark.parametrize("text", ["1ms", "5m", "random:5m", "1w"])
def test_delays_are_spread_over_the_span(text: str) -> None:
    jitter = parse_jitter(text)
    delays = [delay_us(jitter, f"job-{number}", number) for number in range(2000)]
    assert all(0 <= delay < jitter.span_us for delay in delays)
    quarters = [sum(delay * 4 // jitter.span_us == quarter for delay in delays) for quarter in range(4)]
    assert min(quarters) > 400
