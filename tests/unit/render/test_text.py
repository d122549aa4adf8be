"""Escaping, width, cutting, and the table."""

from __future__ import annotations

import json

import pytest

from cronq.render.table import Column, Style, facts, table
from cronq.render.text import (
    Tone,
    Word,
    count_of,
    cut,
    harmless,
    joined,
    json_safe,
    pad,
    paint,
    plain,
    tab_separated,
    width_of,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("grün ✓", "grün ✓"),
        ("\x1b[31mred", "^[[31mred"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("bell\x07 del\x7f", "bell^G del\\x7f"),
        ("c1 \x9b31m", "c1 \\x9b31m"),
        ("bidi \u202etxt", "bidi \\u202etxt"),
        ("marks \u200e\u200f\u061c", "marks \\u200e\\u200f\\u061c"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("note \ufff9", "note \\ufff9"),
        ("back\b\x00", "back^H^@"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("line\u2028sep", "line\\u2028sep"),
        ("not utf-8 \udcff", "not utf-8 \\udcff"),
        ("", ""),
    ],
)
def test_plain_makes_control_characters_harmless(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_json_is_harmless_and_says_the_same() -> None:
    document = {"text": "".join(map(chr, [*range(0x300), *range(0x2000, 0x2100), 0xE0041, 0x1F600]))}
    for indent in (None, 2):
        text = json_safe(json.dumps(document, ensure_ascii=False, indent=indent))
        assert json.loads(text) == document
        assert plain(text, keep="\n") == text
    assert "ü" in text


def test_plain_keeps_what_it_is_told_to() -> None:
    assert plain("a\tb\n\x1b", keep="\t\n") == "a\tb\n^["


def test_width_counts_cells_not_characters() -> None:
    assert width_of("日本") == 4
    assert width_of("e\u0301") == 1


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [("abcdef", 6, "abcdef"), ("abcdef", 5, "abcd…"), ("日本語", 4, "日…"), ("abc", 1, "…"), ("abc", 0, "")],
)
def test_cut(text: str, width: int, shown: str) -> None:
    assert cut(text, width) == shown
    assert width_of(cut(text, width)) <= max(width, 0)


def test_cut_has_an_ascii_form() -> None:
    assert cut("abcdef", 5, ascii_only=True) == "abcd~"


def test_pad_counts_cells() -> None:
    assert pad("日", 4) == "日  "
    assert pad("1", 3, right=True) == "  1"


def test_paint_only_when_asked() -> None:
    word = Word("x", Tone.RED)
    assert paint(word, color=False) == "x"
    assert paint(word, color=True) == "\x1b[31mx\x1b[0m"


def test_colours_are_the_only_sequences_of_a_harmless_line() -> None:
    painted = "".join(paint(Word(f"{tone.name}\x1b[2J\x9b", tone), color=True) for tone in Tone)
    shown = harmless(f"a\tb {painted} \x1b[41m \n")
    for tone in Tone:
        assert paint(Word(f"{tone.name}^[[2J\\x9b", tone), color=True) in shown
    assert shown.startswith("a\tb ")
    assert shown.endswith(" ^[[41m \\n")


def test_tab_separated_keeps_cells_in_their_columns() -> None:
    assert tab_separated(["a\tb", "c\nd"]) == "a\\tb\tc\\nd"


def test_counting_and_joining() -> None:
    assert (count_of(1, "job"), count_of(2, "job"), count_of(2, "box", "boxes")) == (
        "1 job",
        "2 jobs",
        "2 boxes",
    )
    assert (joined([]), joined(["a"]), joined(["a", "b"]), joined(["a", "b", "c"])) == (
        "",
        "a",
        "a and b",
        "a, b and c",
    )


COLUMNS = (
    Column("NAME"),
    Column("WHAT", least=5),
    Column("N", right=True, leaves=2),
    Column("LAST", leaves=1),
)
ROWS = [
    [Word("one"), Word("something long"), Word("1"), Word("x")],
    [Word("two"), Word("short"), Word("20"), Word("")],
]


def test_table_aligns_numbers_at_the_right_and_ends_without_blanks() -> None:
    assert table(COLUMNS, ROWS, Style(80)) == [
        "NAME  WHAT             N  LAST",
        "one   something long   1  x",
        "two   short           20",
    ]


def test_table_columns_leave_in_order_then_the_text_is_cut() -> None:
    assert table(COLUMNS, ROWS, Style(26))[1] == "one   something long   1"
    assert table(COLUMNS, ROWS, Style(20))[1] == "one   something long"
    assert table(COLUMNS, ROWS, Style(14))[1] == "one   somethi…"
    assert table(COLUMNS, ROWS, Style(3))[1] == "one   some…"


def test_table_cuts_a_long_text_fairly_before_a_column_leaves() -> None:
    columns = (Column("NAME"), Column("WHAT", least=5, fair=8), *COLUMNS[2:])
    assert table(columns, ROWS, Style(24))[1] == "one   somethi…   1  x"


def test_table_never_exceeds_the_width_when_it_can_help_it() -> None:
    for width in range(14, 90):
        assert all(width_of(line) <= width for line in table(COLUMNS, ROWS, Style(width)))


def test_table_without_header() -> None:
    assert len(table(COLUMNS, ROWS, Style(80), header=False)) == 2


def test_table_paints_without_moving_columns() -> None:
    rows = [[Word("one", Tone.BOLD), Word("a"), Word("1"), Word("")]]
    painted = table(COLUMNS, rows, Style(80, color=True))[1]
    assert painted.replace("\x1b[1m", "").replace("\x1b[0m", "") == table(COLUMNS, rows, Style(80))[1]


def test_facts_align_labels() -> None:
    assert facts([("a", Word("1")), ("long", Word("2"))], Style(80)) == ["a     1", "long  2"]
