"""One log on its way: which parts of it, in which pieces, at which positions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cronq.masking import NO_SECRETS, Masker
from cronq.shipment import FOLLOWED, PIECE, SHIPPED, Shipment, jump, limit_of, pieces_of
from cronq.worker.output import punch_hole
from tests.unit.worker.rig import shell

Open = Callable[..., Shipment]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def opened(log: Path) -> Iterator[Open]:
    shipments: list[Shipment] = []

    def opened(
        limit: int, max_output: int | None = None, masker: Masker = NO_SECRETS, *, is_followed: bool = False
    ) -> Shipment:
        fd = os.open(log, os.O_RDONLY)
        shipments.append(Shipment((1, 1), fd, limit, max_output, masker, is_followed=is_followed))
        return shipments[-1]

    yield opened
    for shipment in shipments:
        shipment.close()


def all_of(shipment: Shipment, room: int = 2**40) -> list[tuple[int, bytes]]:
    found = []
    while pieces := shipment.take(room):
        found += pieces
    return found


def append(log: Path, data: bytes) -> None:
    with log.open("ab") as file:
        file.write(data)


@pytest.mark.parametrize(
    ("max_output", "limit"),
    [(None, SHIPPED), (64 * 1024**2, SHIPPED), (100, 100), (2 * 1024**3, 2 * 1024**3)],
)
def test_limit_is_what_the_job_says(max_output: int | None, limit: int) -> None:
    assert limit_of(shell("true", max_output=max_output)) == limit


@pytest.mark.parametrize(
    ("at", "size", "start"),
    [
        (0, 5000, 0),
        (499, 5000, 499),
        (500, 5000, 4500),
        (500, 1000, 500),
        (700, 1000, 700),
        (700, 2000, 1500),
    ],
)
def test_between_head_and_tail_is_a_jump(at: int, size: int, start: int) -> None:
    assert jump(at, size, 1000) == start


def test_pieces_are_bounded_and_say_where_they_begin() -> None:
    found = pieces_of(b"x" * (2 * PIECE + 1), 7)
    assert [(position, len(data)) for position, data in found] == [
        (7, PIECE),
        (7 + PIECE, PIECE),
        (7 + 2 * PIECE, 1),
    ]
    assert pieces_of(b"", 7) == []


def test_a_short_log_goes_as_a_whole(log: Path, opened: Open) -> None:
    log.write_bytes(bytes(range(256)) * 1000)
    shipment = opened(SHIPPED)
    shipment.is_last = True
    found = all_of(shipment, room=1)
    assert b"".join(data for _, data in found) == log.read_bytes()
    assert [position for position, _ in found] == [0, PIECE, 2 * PIECE, 3 * PIECE]
    assert shipment.is_over


def test_of_a_long_log_head_and_tail_go(log: Path, opened: Open) -> None:
    head, tail = SHIPPED // 2, SHIPPED - SHIPPED // 2
    log.write_bytes(b"h" * head + b"m" * 5_000_001 + b"t" * tail)
    shipment = opened(SHIPPED)
    shipment.is_last = True
    found = all_of(shipment)
    assert b"".join(data for _, data in found) == b"h" * head + b"t" * tail
    assert found[head // PIECE][0] == head + 5_000_001


def test_what_is_written_meanwhile_follows(log: Path, opened: Open) -> None:
    log.write_bytes(b"one\n")
    shipment = opened(1000)
    assert all_of(shipment) == [(0, b"one\n")]
    assert not shipment.is_over
    append(log, b"two\n")
    assert all_of(shipment) == [(4, b"two\n")]
    shipment.is_last = True
    assert all_of(shipment) == []
    assert shipment.is_over


def test_of_what_is_followed_for_long_the_middle_is_not_wanted(log: Path, opened: Open) -> None:
    limit = 8 * PIECE
    log.touch()
    shipment = opened(limit, is_followed=True)
    kept: dict[int, bytes] = {}

    def thin(surplus: tuple[int, int] | None) -> None:
        for at in [at for at in kept if surplus is not None and surplus[0] <= at <= surplus[1]]:
            del kept[at]

    for _ in range(100):
        append(log, b"x" * 10 * PIECE)
        found = all_of(shipment)
        assert len(found) == 10  # nothing is left out for whoever follows
        kept |= dict(found)
        thin(shipment.surplus())
        assert sum(map(len, kept.values())) <= limit + 2 * FOLLOWED
    assert len(kept) >= FOLLOWED // PIECE
    shipment.is_last = True
    assert all_of(shipment) == []
    thin(shipment.surplus(is_watched=False))
    assert [at // PIECE for at in kept] == [
        0,
        1,
        2,
        3,
        *range(min(at // PIECE for at in kept if at > limit), 1000),
    ]
    assert 8 <= len(kept) <= 9


def test_whoever_follows_is_not_held_up_by_too_much(log: Path, opened: Open) -> None:
    log.write_bytes(b"x" * (SHIPPED + FOLLOWED))
    assert len(all_of(opened(SHIPPED, is_followed=True))) == (SHIPPED + FOLLOWED) // PIECE
    append(log, b"y")
    assert len(all_of(opened(SHIPPED, is_followed=True))) == SHIPPED // PIECE


def test_a_value_across_two_writes_is_masked(log: Path, opened: Open) -> None:
    log.write_bytes(b"the hunt")
    shipment = opened(1000, masker=Masker(["hunter2"]))
    before = all_of(shipment)
    append(log, b"er2 is it")
    shipment.is_last = True
    assert b"".join(data for _, data in (*before, *all_of(shipment))) == b"the *** is it"


def test_a_value_at_a_jump_is_masked(log: Path, opened: Open) -> None:
    log.write_bytes(b"12345hunter2-67890")
    shipment = opened(14, masker=Masker(["hunter2-"]))
    shipment.is_last = True
    shown = b"".join(data for _, data in all_of(shipment))
    assert b"hunt" not in shown
    assert b"er2-" not in shown


def test_a_hole_is_said(log: Path, opened: Open) -> None:
    log.write_bytes(b"a" * 4096 + b"b" * 8192 + b"c" * 4096)
    with log.open("r+b") as file:
        try:
            punch_hole(file.fileno(), 4096, 4096 + 8192)
        except OSError as error:
            pytest.skip(f"no holes here: {error}")
    shipment = opened(SHIPPED, max_output=10_000)
    shipment.is_last = True
    shown = b"".join(data for _, data in all_of(shipment))
    assert b"b" not in shown.replace(b"bytes", b"")
    assert b"\n[cronq: 8,192 bytes were cut here (--max-output 10000)]\n" in shown


def test_a_log_beyond_its_cap_is_in_the_making(log: Path, opened: Open) -> None:
    log.write_bytes(b"x" * 101)
    assert opened(100, max_output=100).is_in_the_making
    assert not opened(100, max_output=101).is_in_the_making
    assert not opened(100).is_in_the_making
