"""The timeline, cell by cell."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cronq.model import SECOND
from cronq.render.table import Style
from cronq.render.timeline import Mark, Row, Scale, timeline
from tests.simulation.world import utc

HOUR = 3_600 * SECOND
START = utc("2026-01-01T08:00:00")
ROWS = [
    Row("backup", [Mark(START + 2 * HOUR, START + 7 * HOUR // 2, "ok")]),
    Row(
        "report",
        [
            Mark(START, START + SECOND, "ok"),
            Mark(START + HOUR, START + HOUR, "failed"),
            Mark(START + 2 * HOUR, START + 2 * HOUR, "skipped"),
            Mark(START + 6 * HOUR, START + 6 * HOUR, "planned"),
        ],
    ),
    Row("etl", [Mark(START, START + 3 * HOUR, "ok"), Mark(START + 3 * HOUR, START + 5 * HOUR, "running")]),
    Row("idle", []),
]
SCALE = Scale(START, START + 7 * HOUR, START + 5 * HOUR, UTC)


def drawn(width: int, *, ascii_only: bool = False) -> str:
    return "\n".join(timeline(ROWS, SCALE, Style(width, ascii_only=ascii_only))) + "\n"


def test_pictures_are_as_they_were_when_somebody_looked_at_them() -> None:
    pictures = [(60, False), (60, True), (80, False), (120, False)]
    shown = "".join(
        f"== {width} {'ascii' if ascii_only else 'unicode'}\n{drawn(width, ascii_only=ascii_only)}"
        for width, ascii_only in pictures
    )
    assert shown == Path(__file__).with_name("timeline.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 300])
def test_lines_fit(width: int) -> None:
    lines = timeline(ROWS, SCALE, Style(width))
    assert max(map(len, lines[: len(ROWS) + 1])) <= width


def one(*marks: Mark) -> str:
    scale = Scale(0, 10 * HOUR, None, UTC)
    return timeline([Row("x", marks)], scale, Style(13, ascii_only=True))[1]


def test_failure_beats_skip_beats_running_beats_ok_beats_planned() -> None:
    kinds = ["planned", "ok", "running", "skipped", "failed"]
    for low, high, symbol in zip(kinds, kinds[1:], "#=.x", strict=False):
        marks = [Mark(0, HOUR, high), Mark(0, HOUR, low)]
        assert one(*marks) == one(*reversed(marks)) == f"x  {symbol}"


def test_run_paints_the_cells_that_it_touches_and_at_least_one() -> None:
    assert one(Mark(0, 1, "ok")) == "x  #"
    assert one(Mark(2 * HOUR, 2 * HOUR, "ok")) == "x    #"
    assert one(Mark(2 * HOUR, 4 * HOUR, "ok")) == "x    ##"
    assert one(Mark(2 * HOUR, 4 * HOUR + 1, "ok")) == "x    ###"
    assert one(Mark(-5 * HOUR, 99 * HOUR, "ok")) == "x  ##########"


def test_what_lies_outside_is_not_drawn() -> None:
    assert one(Mark(-3, -2, "ok"), Mark(10 * HOUR, 11 * HOUR, "ok")) == "x"


def test_scale_follows_the_clock_on_the_wall_through_a_clock_change() -> None:
    start = utc("2026-03-28T23:00:00")  # midnight in Berlin
    scale = Scale(start, start + 6 * HOUR, None, ZoneInfo("Europe/Berlin"))
    first = timeline([Row("x", [])], scale, Style(63))[0].split()
    assert first == ["00:00", "01:00", "03:00", "04:00", "05:00", "06:00"]


@pytest.mark.parametrize(
    ("span_s", "labels"),
    [
        (60, ["08:00:00", "08:00:15"]),
        (86_400, ["12:00", "18:00"]),
        (7 * 86_400, ["Fri 02", "Sun 04"]),
        (366 * 86_400, ["2026-02-02", "2026-05-04"]),
    ],
)
def test_labels_suit_the_span(span_s: int, labels: list[str]) -> None:
    scale = Scale(START, START + span_s * SECOND, None, UTC)
    line = timeline([Row("x", [])], scale, Style(60))[0]
    assert [label for label in labels if label not in line] == [], line


def test_names_are_harmless_and_cut() -> None:
    lines = timeline([Row("a\x1b[31mb" * 20, [])], Scale(0, HOUR, None, UTC), Style(60))
    assert "\x1b" not in "".join(lines)
    assert len(lines[1]) <= 20 + 2


def test_only_symbols_in_use_are_explained() -> None:
    lines = timeline([Row("x", [Mark(0, 1, "ok")])], Scale(0, HOUR, None, UTC), Style(60))
    assert lines[-1].strip() == "█ ok  one cell ≈ 1m 3s"
