"""Named locks: how they are written, and who may have one."""

from __future__ import annotations

import random

import pytest

from cronq.errors import UsageError
from cronq.named_locks import LockBook, LockWish, parse_lock


@pytest.mark.parametrize(
    ("text", "wish"),
    [("db", LockWish("db")), ("db:1", LockWish("db", 1)), ("gpu.0-a_b:12", LockWish("gpu.0-a_b", 12))],
)
def test_lock_is_read(text: str, wish: LockWish) -> None:
    assert parse_lock(text) == wish


@pytest.mark.parametrize("text", ["", ":1", "db:", "db:0", "db:-1", "db:x", "db:1:2", "DB", "a b", "a" * 64])
def test_no_lock_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_lock(text)


def book(asked: dict[str, list[int]] | None = None, **taken: int) -> LockBook:
    return LockBook({"db": 1, "gpu": 2}, taken, asked or {})


def test_lock_is_taken_until_none_is_left() -> None:
    one = book()
    assert one.take(["gpu"], 1) == ()
    assert one.take(["gpu"], 2) == ()
    assert one.take(["gpu"], 3) == ("gpu",)


def test_one_who_lacks_a_lock_takes_none_and_keeps_its_place_in_every_line() -> None:
    one = book(db=1, gpu=1)
    assert one.take(["db", "gpu"], 1) == ("db",)
    assert one.take(["gpu"], 2) == ("gpu",)


def test_process_outside_that_came_earlier_comes_first_and_one_that_came_later_does_not() -> None:
    assert book({"db": [5]}).take(["db"], 6) == ("db",)
    assert book({"db": [5]}).take(["db"], 5) == ()


def test_lock_that_was_forgotten_has_no_room() -> None:
    assert book().take(["nothing"], 1) == ("nothing",)
    assert not book().take_if_free(["nothing"], 1)


def test_more_holders_than_there_may_be_leave_no_room() -> None:
    assert book(db=3).take(["db"], 1) == ("db",)


def test_never_more_holders_than_there_may_be_and_the_first_in_line_is_never_stopped_by_those_behind() -> (
    None
):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for _ in range(500):
        capacities = {name: dice.randint(1, 3) for name in "abc"}
        taken = {name: dice.randint(0, count) for name, count in capacities.items()}
        line = [dice.sample("abc", dice.randint(1, 3)) for _ in range(8)]
        one = LockBook(capacities, taken, {})
        went = [names for at, names in enumerate(line) if not one.take(names, at)]
        for name, count in capacities.items():
            assert taken[name] + sum(name in names for names in went) <= count
        first_can = all(taken[name] < capacities[name] for name in line[0])
        assert (bool(went) and went[0] == line[0]) == first_can
