"""Secret values in output: none is left, whatever the pieces are in which it comes."""

from __future__ import annotations

import random

import pytest

from cronq.masking import LEAST, Masker, is_too_short


@pytest.mark.parametrize(
    ("values", "text", "shown"),
    [
        (["hunter2"], "password=hunter2, hunter22", "password=***, ***2"),
        (["hunter2", "hunter2-long"], "hunter2-long hunter2", "*** ***"),
        (["abc"], "abc", "abc"),
        (["grün✓"], "x grün✓ y", "x *** y"),
        (["  padded  "], "padded", "***"),
        (
            ["-----BEGIN\nab\nfirst line\r\n  second line"],
            "> first line\n> second line ab",
            "> ***\n> *** ab",
        ),
        (["a.c+(d"], "a.c+(d abc+(d", "*** abc+(d"),
        (["\udcffraw"], "\udcffraw", "***"),
        ([""], "nothing", "nothing"),
        ([], "nothing", "nothing"),
    ],
)
def test_values_are_masked(values: list[str], text: str, shown: str) -> None:
    assert Masker(values).text(text) == shown


@pytest.mark.parametrize(
    ("value", "short"), [("abc", True), (" abc ", True), ("a\nb\nc", False), ("abcd", False)]
)
def test_short_values_are_told(value: str, short: bool) -> None:
    assert is_too_short(value) is short


def test_pieces_of_any_size_are_masked_as_the_whole() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(500):
        values = ["".join(rng.choices("ab", k=rng.randint(LEAST, 9))) for _ in range(rng.randint(1, 3))]
        masker = Masker(values)
        # Ends with what begins no value: that is held back, and masked, at the end.
        data = "".join(rng.choices("abc", k=rng.randint(0, 60))).encode() + b"c"
        stream = masker.stream()
        shown, at = b"", 0
        while at < len(data):
            size = rng.randint(1, 7)
            shown += stream.feed(data[at : at + size])
            at += size
        assert shown + stream.flush() == masker.mask(data), (values, data)


def test_nothing_is_held_back_that_begins_no_value() -> None:
    stream = Masker(["hunter2"]).stream()
    assert stream.feed(b"a line\nand hunt") == b"a line\nand "
    assert stream.feed(b"ing\n") == b"hunting\n"


def test_part_of_a_value_at_a_cut_is_masked_on_both_sides() -> None:
    stream = Masker(["correct horse"]).stream()
    assert stream.feed(b"it is correct h") == b"it is "
    assert stream.cut() == b"***"
    assert stream.feed(b"t horse") == b""
    assert stream.feed(b" battery") == b"*** battery"
    stream.cut()
    assert stream.feed(b"horse") + stream.flush() == b"***"


def test_value_that_repeats_its_beginning_is_masked_as_a_whole_after_a_cut() -> None:
    """Its end is like its beginning, so that the whole of it begins like the rest of one that was cut."""
    stream = Masker(["hunter2-hunter2"]).stream(starts_amid=True)
    assert stream.feed(b"hunter2-hunter2, and more") + stream.flush() == b"***, and more"
    stream = Masker(["hunter2-hunter2"]).stream(starts_amid=True)
    assert stream.feed(b"ter2-hunter2, and more") + stream.flush() == b"***, and more"


def test_output_that_ends_amid_a_value_tells_no_more_than_three_characters_of_it() -> None:
    for length in range(1, 7):
        stream = Masker(["hunter2"]).stream()
        shown = stream.feed(b"x" + b"hunter2"[:length]) + stream.flush()
        assert shown == (b"x***" if length >= LEAST else b"x" + b"hunter2"[:length])
