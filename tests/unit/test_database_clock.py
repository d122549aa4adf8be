"""The database's clock as a node sees it: never ahead, never back for a little, and awake in time."""

from __future__ import annotations

import random

import pytest

from cronq.clock import Clock
from cronq.database_clock import DatabaseClock
from cronq.errors import InvariantError
from cronq.model import SECOND, Micros
from cronq.waiting import SystemClock

START = 1_700_000_000 * SECOND


class Machine:
    """A machine's clocks, all of them set by hand; waiting takes the time that it is asked for."""

    def __init__(self) -> None:
        self.wall = 5 * SECOND
        self.up_ns = 10**12
        self.suspended_ns = 0
        self.step_in_wait: Micros = 0
        self.waits: list[Micros | None] = []
        self.watched: set[int] = set()
        self.is_closed = False

    def pass_(self, seconds: float, *, suspended: bool = False) -> None:
        self.wall += round(seconds * SECOND)
        self.up_ns += round(seconds * 1e9)
        if suspended:
            self.suspended_ns += round(seconds * 1e9)

    def elapsed_ns(self) -> int:
        return self.up_ns

    def now(self) -> Micros:
        return self.wall

    def monotonic(self) -> float:
        return (self.up_ns - self.suspended_ns) / 1e9

    def watch(self, fd: int) -> None:
        self.watched.add(fd)

    def unwatch(self, fd: int) -> None:
        self.watched.discard(fd)

    def wait(self, until: Micros | None) -> set[int]:
        self.waits.append(until)
        if self.step_in_wait:
            # Somebody sets the clock a second later, which ends the wait.
            self.pass_(1)
            self.wall += self.step_in_wait
            self.step_in_wait = 0
        elif until is not None:
            self.pass_(max(0, until - self.wall) / SECOND)
        return set()

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def node(machine: Machine) -> DatabaseClock:
    wrapped: Clock = machine
    return DatabaseClock(wrapped, machine.elapsed_ns)


def read(node: DatabaseClock, machine: Machine, now: Micros, took_s: float = 0.0) -> None:
    node.note(now, machine.monotonic() - took_s, machine.monotonic())


def test_nothing_is_known_before_the_first_reading(node: DatabaseClock) -> None:
    with pytest.raises(InvariantError):
        node.now()
    with pytest.raises(InvariantError):
        node.wait(START)


def test_it_is_carried_a_little_slower_than_time_goes(node: DatabaseClock, machine: Machine) -> None:
    read(node, machine, START)
    assert node.now() == START
    machine.pass_(10)
    assert START + 10 * SECOND - 5_000 <= node.now() < START + 10 * SECOND


def test_steps_of_the_machine_do_not_matter(node: DatabaseClock, machine: Machine) -> None:
    read(node, machine, START)
    machine.wall += 3600 * SECOND
    assert node.now() == START


def test_time_goes_on_in_a_suspend(node: DatabaseClock, machine: Machine) -> None:
    read(node, machine, START)
    machine.pass_(3600, suspended=True)
    assert START + 3598 * SECOND <= node.now() <= START + 3600 * SECOND


def test_reading_that_is_noted_late_counts_from_its_answer(node: DatabaseClock, machine: Machine) -> None:
    answered_at = machine.monotonic()
    machine.pass_(2)
    node.note(START, answered_at - 0.1, answered_at)
    assert node.now() == START + 2 * SECOND - 1_000


def test_reading_that_is_ahead_is_taken(node: DatabaseClock, machine: Machine) -> None:
    read(node, machine, START)
    read(node, machine, START + 5 * SECOND)
    assert node.now() == START + 5 * SECOND


@pytest.mark.parametrize("took_s", [0.2, 7.0])
def test_slow_answer_does_not_set_it_back(node: DatabaseClock, machine: Machine, took_s: float) -> None:
    read(node, machine, START)
    machine.pass_(10)
    before = node.now()
    # It was read right after the question; the answer took its time.
    read(node, machine, before - round(took_s * SECOND) + 1_000, took_s)
    assert node.now() == before
    machine.pass_(1)
    assert node.now() > before + SECOND - 1_000


def test_small_step_back_of_the_database_is_waited_out(node: DatabaseClock, machine: Machine) -> None:
    read(node, machine, START)
    assert node.now() == START
    read(node, machine, START - SECOND // 2)
    assert node.now() == START
    machine.pass_(0.25)
    assert node.now() == START
    machine.pass_(0.75)
    assert START + 499_000 <= node.now() <= START + 500_000


def test_while_it_stands_still_a_wait_is_long_enough(node: DatabaseClock, machine: Machine) -> None:
    read(node, machine, START)
    node.now()
    read(node, machine, START - SECOND // 2)
    node.wait(START + 1)
    assert node.now() == START + 1


def test_large_step_back_of_the_database_is_followed(node: DatabaseClock, machine: Machine) -> None:
    read(node, machine, START)
    node.now()
    read(node, machine, START - SECOND)
    assert node.now() == START - SECOND


def test_wait_ends_at_the_instant_by_the_database(node: DatabaseClock, machine: Machine) -> None:
    read(node, machine, START)
    before = machine.monotonic()
    node.wait(START + 60 * SECOND)
    assert node.now() >= START + 60 * SECOND
    assert machine.monotonic() - before < 60.1


def test_wait_for_the_past_does_not_wait(node: DatabaseClock, machine: Machine) -> None:
    read(node, machine, START)
    before = machine.monotonic()
    node.wait(START - 1)
    assert machine.monotonic() == before


def test_wait_without_end_is_one(node: DatabaseClock, machine: Machine) -> None:
    node.wait(None)
    assert machine.waits == [None]


@pytest.mark.parametrize("step_s", [-3600, 3600])
def test_wait_survives_a_step_of_the_machine(node: DatabaseClock, machine: Machine, step_s: int) -> None:
    read(node, machine, START)
    until = START + 60 * SECOND
    before = machine.monotonic()
    machine.step_in_wait = step_s * SECOND
    node.wait(until)
    assert node.now() < until
    node.wait(until)
    assert node.now() >= until
    assert machine.monotonic() - before < 60.1


def test_the_rest_is_the_machine(node: DatabaseClock, machine: Machine) -> None:
    node.watch(7)
    assert machine.watched == {7}
    node.unwatch(7)
    assert machine.watched == set()
    assert node.monotonic() == machine.monotonic()
    node.close()
    assert machine.is_closed


@pytest.mark.parametrize("seed", range(50))
def test_it_is_never_ahead_and_never_goes_back(node: DatabaseClock, machine: Machine, seed: int) -> None:
    chance = random.Random(seed)
    # How fast the database's clock is, by the machine's: each may be slewed.
    rate = 1 + chance.uniform(-490e-6, 490e-6)
    begun = machine.up_ns

    def database() -> Micros:
        return START + int((machine.up_ns - begun) / 1000 * rate)

    told = 0
    for _ in range(50):
        asked_at = machine.monotonic()
        machine.pass_(chance.expovariate(100))
        reading = database()
        machine.pass_(chance.choice([0.0001, 0.01, 3.0]) * chance.random())
        node.note(reading, asked_at, machine.monotonic())
        for _ in range(3):
            assert told <= node.now() <= database()
            told = node.now()
            machine.pass_(chance.uniform(0, 10), suspended=chance.random() < 0.1)


def test_it_waits_on_the_real_clock() -> None:
    real = SystemClock()
    node = DatabaseClock(real)
    node.note(START, real.monotonic(), real.monotonic())
    until = node.now() + 20_000
    while node.now() < until:
        node.wait(until)
    assert node.now() - START < 60 * SECOND
    node.close()
