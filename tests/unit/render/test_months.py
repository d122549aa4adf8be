"""Month grids."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from cronq.render.months import Day, month_lines
from cronq.render.table import Style


def days(first: date, last: date, fires: int = 0, *, change: date | None = None) -> list[Day]:
    every = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return [Day(day, fires, day == change) for day in every]


FEBRUARY = days(date(2027, 2, 1), date(2027, 2, 28), 2)
"""Begins on a Monday and has four whole weeks."""


def test_a_month_of_whole_weeks_has_no_blanks() -> None:
    lines = month_lines(FEBRUARY, Style(80))
    assert lines == [
        "February 2027",
        "Mon    Tue    Wed    Thu    Fri    Sat    Sun",
        " 1(2)   2(2)   3(2)   4(2)   5(2)   6(2)   7(2)",
        " 8(2)   9(2)  10(2)  11(2)  12(2)  13(2)  14(2)",
        "15(2)  16(2)  17(2)  18(2)  19(2)  20(2)  21(2)",
        "22(2)  23(2)  24(2)  25(2)  26(2)  27(2)  28(2)",
        "",
        "(n) fire times of the day",
    ]


def test_narrow_cells_shorten_the_weekdays() -> None:
    lines = month_lines(days(date(2027, 2, 1), date(2027, 2, 28)), Style(80))
    assert lines[1] == "Mo  Tu  We  Th  Fr  Sa  Su"
    assert lines[2] == " 1   2   3   4   5   6   7"


def test_a_clock_change_is_marked_and_explained() -> None:
    march = days(date(2027, 3, 1), date(2027, 3, 31), 1, change=date(2027, 3, 28))
    lines = month_lines(march, Style(80))
    assert "28*(1)" in lines[5]
    assert lines[-1] == "(n) fire times of the day   * the clocks change"


@pytest.mark.parametrize(("width", "abreast"), [(40, 1), (97, 1), (98, 2), (148, 2), (149, 3)])
def test_months_stand_side_by_side_where_there_is_room(width: int, abreast: int) -> None:
    months = days(date(2027, 1, 1), date(2027, 3, 31), 1)
    lines = month_lines(months, Style(width))
    assert lines[0].count("2027") == abreast
    assert max(len(line) for line in lines) <= max(width, 47)


def test_colour_adds_nothing_but_colour() -> None:
    import re

    march = days(date(2027, 3, 1), date(2027, 3, 31), 1, change=date(2027, 3, 28))
    painted = month_lines(march, Style(80, color=True))
    bare = [re.sub(r"\x1b\[[0-9]*m", "", line).rstrip() for line in painted]
    assert bare == month_lines(march, Style(80))


def test_grids_are_ascii_as_they_are() -> None:
    assert all(line.isascii() for line in month_lines(FEBRUARY, Style(80)))
