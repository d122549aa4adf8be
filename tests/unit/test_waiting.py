"""The real clock: never early, and awake as soon as there is news."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq import clock
from cronq.model import SECOND
from cronq.waiting import SystemClock

FAR = 3600 * SECOND


@pytest.fixture
def system() -> Iterator[SystemClock]:
    made = SystemClock()
    yield made
    made.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("wait_us", [1, 50, 999, 1_000, 1_001, 12_345, 60_000])
def test_wait_is_never_early(system: SystemClock, wait_us: int) -> None:
    for _ in range(5):
        until = system.now() + wait_us
        assert system.wait(until) == set()
        assert clock.now_us() >= until


@pytest.mark.parametrize("ago_us", [0, 1, 10**9, 10**17])
def test_wait_for_the_past_returns_at_once(system: SystemClock, ago_us: int) -> None:
    before = clock.monotonic()
    assert system.wait(system.now() - ago_us) == set()
    assert clock.monotonic() - before < 1


@pytest.mark.parametrize("is_bounded", [True, False])
def test_wait_ends_when_a_watched_descriptor_is_readable(
    system: SystemClock, pipe: tuple[int, int], is_bounded: bool
) -> None:
    system.watch(pipe[0])
    timer = threading.Timer(0.02, os.write, (pipe[1], b"!"))
    timer.start()
    assert system.wait(system.now() + FAR if is_bounded else None) == {pipe[0]}
    timer.join()


def test_wait_for_the_past_still_tells_what_is_readable(system: SystemClock, pipe: tuple[int, int]) -> None:
    system.watch(pipe[0])
    os.write(pipe[1], b"!")
    assert system.wait(system.now() - SECOND) == {pipe[0]}


def test_wait_tells_again_what_nobody_took(system: SystemClock, pipe: tuple[int, int]) -> None:
    system.watch(pipe[0])
    os.write(pipe[1], b"!")
    assert system.wait(None) == system.wait(None) == {pipe[0]}


def test_wait_after_an_alarm_that_was_not_needed_starts_afresh(
    system: SystemClock, pipe: tuple[int, int]
) -> None:
    system.watch(pipe[0])
    os.write(pipe[1], b"!")
    assert system.wait(system.now() + 2_000) == {pipe[0]}
    os.read(pipe[0], 1)
    until = system.now() + 20_000  # the alarm of the wait before goes off in between, unless it was replaced
    assert system.wait(until) == set()
    assert clock.now_us() >= until


def test_unwatched_descriptor_wakes_nobody(system: SystemClock, pipe: tuple[int, int]) -> None:
    system.watch(pipe[0])
    system.unwatch(pipe[0])
    system.unwatch(pipe[0])
    system.unwatch(12345)
    os.write(pipe[1], b"!")
    until = system.now() + 5_000
    assert system.wait(until) == set()
    assert clock.now_us() >= until


def test_clock_reads_the_machines_time(system: SystemClock) -> None:
    assert abs(system.now() - clock.now_us()) < SECOND
    assert abs(system.monotonic() - clock.monotonic()) < 1


def test_closed_clock_leaves_no_descriptors() -> None:
    def descriptors() -> list[Path]:
        return list(Path("/dev/fd").iterdir())

    SystemClock().close()
    before = descriptors()
    for _ in range(20):
        SystemClock().close()
    assert len(descriptors()) == len(before)
