"""Amounts of bytes: what is read, what is refused, and that what is written is read back."""

from __future__ import annotations

import pytest

from cronq.errors import UsageError
from cronq.sizes import format_size, parse_size, short_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("4096", 4096),
        ("4096b", 4096),
        ("512K", 512 * 1024),
        ("512kB", 512 * 1024),
        ("64M", 64 * 1024**2),
        ("64MiB", 64 * 1024**2),
        ("64 m", 64 * 1024**2),
        ("1.5G", 3 * 2**29),
        ("2T", 2**41),
    ],
)
def test_size_is_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1X", "1,5G", "0", "many", "1e9", "9999999T", "1.2.3"])
def test_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


def test_bound_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        parse_size("1K", least=4096)
    assert caught.value.hint == "at least 4K"


@pytest.mark.parametrize("size", [1, 1000, 1023, 1024, 1025, 64 * 1024**2, 2**40, 2**40 + 1])
def test_written_size_is_read_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


def test_size_for_people_is_short() -> None:
    assert [short_size(size) for size in (0, 9, 999, 1024, 10_240, 3_400_000, 2**30, 2**50)] == [
        *("0", "9", "999", "1.0K", "10K", "3.2M", "1.0G", "1024.0T"),
    ]
