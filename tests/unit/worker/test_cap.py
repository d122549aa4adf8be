"""Which part of an output is kept, and when to look at it: numbers alone."""

from __future__ import annotations

import random

import pytest

from cronq.worker.cap import BLOCK, FASTEST, LEAST_S, MOST_S, Cap, marker, next_look_s

MIB = 1024 * 1024


def test_nothing_is_cut_within_the_cap() -> None:
    cap = Cap(MIB)
    assert cap.cut(MIB) is None
    assert cap.hole(MIB) is None
    assert cap.cut(MIB + 1) == (MIB // 2, MIB // 2 + 129)


def test_kept_are_head_and_tail_in_whole_blocks_and_never_less_than_the_cap() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(300):
        cap = Cap(rng.randint(64 * 1024, 4 * MIB))
        size = punched_to = 0
        for _ in range(30):
            size += rng.randint(0, MIB)
            room = cap.room(size, punched_to)
            hole = cap.hole(size, punched_to)
            assert hole is None or room < BLOCK
            if hole is None:
                continue
            start, end = hole
            assert start == max(punched_to, cap.head)
            assert start % BLOCK == end % BLOCK == 0
            assert cap.head + size - end >= cap.limit
            assert cap.head + size - end < cap.limit + BLOCK
            punched_to = end
        kept = size - (punched_to - cap.head if punched_to else 0)
        assert kept <= cap.limit + cap.slack + BLOCK
        cut = cap.cut(size)
        if punched_to:
            # What is finally cut contains what was taken out on the way.
            assert cut is not None
            assert cut[0] == cap.head
            assert cut[1] >= punched_to
            left = cut[0] + size - cut[1] + len(marker(10**15, cap.limit, at_least=True)) + 2
            assert cap.cut(left) is None


def test_next_look_is_when_the_cap_could_be_reached_at_full_speed() -> None:
    for room, expected in ((int(FASTEST), 1.0), (0, LEAST_S), (10**12, MOST_S)):
        assert next_look_s(room=room, free=10**13, grown=10**9, waited_s=1.0) == expected


def test_next_look_is_before_half_of_the_free_space_is_gone() -> None:
    assert next_look_s(room=10**12, free=int(FASTEST), grown=0, waited_s=60.0) == 0.5
    assert next_look_s(room=10**12, free=0, grown=0, waited_s=60.0) == LEAST_S


def test_quiet_command_is_looked_at_ever_more_rarely() -> None:
    waits, wait_s = 0, 0.05
    elapsed = 0.0
    while elapsed < 60:
        wait_s = next_look_s(room=64 * MIB, free=10**13, grown=100, waited_s=wait_s)
        elapsed += wait_s
        waits += 1
    assert waits < 40
    # and closely again when it has something to say
    assert next_look_s(room=64 * MIB, free=10**13, grown=16 * MIB, waited_s=MOST_S) < 0.05


@pytest.mark.parametrize(
    ("count", "limit", "at_least", "text"),
    [
        (9_932_111_872, 64 * MIB, False, "[cronq: 9,932,111,872 bytes were cut here (--max-output 64M)]"),
        (5, 100_000, True, "[cronq: at least 5 bytes were cut here (--max-output 100000)]"),
    ],
)
def test_marker_says_how_much_and_why(count: int, limit: int, at_least: bool, text: str) -> None:
    assert marker(count, limit, at_least=at_least) == text
