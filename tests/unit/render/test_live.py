"""The displays of `cronq run`: the same events for a terminal, a pipe, the journal, and a program."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC

import pytest

from cronq.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    FireTimesPassed,
    Notice,
    RunAdopted,
    RunningRun,
    RunQueued,
    SchedulerStarted,
    SchedulerStopped,
    Snapshot,
    Stopping,
    WorkerLost,
)
from cronq.model import SECOND, Outcome, Trigger
from cronq.render.events import kind_of, sentence, severity
from cronq.render.footer import TerminalDisplay, event_lines, footer_lines
from cronq.render.live import JournalDisplay, JsonDisplay, TextDisplay, make_display
from cronq.render.terminal import Terminal

NOW = 1_767_340_800 * SECOND
FAILED = AttemptFinished(
    NOW, "backup", 813, 1, Outcome.FAILURE, "exit 23", 23, None, 250.0, 30.0, 1, 2, ("boom", "\x1b[2J")
)
EVENTS: list[Event] = [
    SchedulerStarted(NOW, "0.1.0", 12, 1, "/x/cronq.db", 77),
    RunQueued(NOW, "etl", 812, Trigger.CATCH_UP, NOW),
    AttemptStarted(NOW, "etl", 812, 1, 4711, 0.041),
    AttemptStarted(NOW, "etl", 812, 2, 4711, -0.5),
    AttemptFinished(NOW, "etl", 812, 1, Outcome.SUCCESS, "", 0, None, 3.2, None, 0, 0, ("fine",)),
    FAILED,
    AttemptFinished(NOW, "etl", 9, 1, Outcome.CANCELLED, "by hand", None, 15, 1.0, None, 0, 0, ()),
    AttemptFinished(NOW, "etl", 9, 1, Outcome.TIMEOUT, "timeout 30s", None, 15, 30.0, None, 1, 0, ()),
    FireTimesPassed(NOW, "backup", 815, Outcome.MISSED, "late", NOW, NOW + SECOND, 3),
    RunAdopted(NOW, "etl", 812, 1),
    WorkerLost(NOW, "w1", 812, 137),
    WorkerLost(NOW, "w1", None, None),
    Notice(NOW, "warning", "the clock jumped\n"),
    Stopping(NOW, ("report #814",), 30.0),
    Stopping(NOW, (), 30.0),
    Stopping(NOW, ("a #1", "b #2", "c #3", "d #4"), 30.0),
    SchedulerStopped(NOW, 37, 36, 1, 7_500.0),
]


def terminal(*, tty: bool = False, **more: bool) -> Terminal:
    return Terminal(io.StringIO(), io.StringIO(), tty, tty, animated=tty, zone=UTC, **more)


def written(stream: object) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_text_display_writes_iso_time_and_pairs() -> None:
    world = terminal()
    display = make_display("auto", "fail", world)
    assert isinstance(display, TextDisplay)
    display.event(FAILED)
    assert written(world.out) == ""  # until the scheduler is about to sleep
    display.flush()
    assert written(world.out).splitlines() == [
        "2026-01-02T08:00:00Z attempt_finished job=backup run_id=813 attempt=1 outcome=failure"
        ' reason="exit 23" exit_code=23 duration_s=250 retry_in_s=30 failures=1 retries=2',
        '2026-01-02T08:00:00Z output run=813 "boom"',
        '2026-01-02T08:00:00Z output run=813 "^[[2J"',
    ]


def test_journal_display_writes_priority_and_no_time() -> None:
    world = terminal(journal=True)
    display = make_display("auto", "none", world)
    assert isinstance(display, JournalDisplay)
    for event in EVENTS:
        display.event(event)
    display.flush()
    lines = written(world.err).splitlines()
    assert {line[:3] for line in lines} == {"<3>", "<4>", "<5>", "<6>"}
    assert not any("2026-01-02T08:00:00Z attempt" in line for line in lines)


def test_json_display_writes_every_field_of_every_event() -> None:
    world = terminal()
    display = make_display("json", "all", world)
    assert isinstance(display, JsonDisplay)
    for event in EVENTS:
        display.event(event)
    display.flush()
    documents = [json.loads(line) for line in written(world.out).splitlines()]
    assert [document["event"] for document in documents] == [kind_of(event) for event in EVENTS]
    assert {document["schema"] for document in documents} == {1}
    assert documents[5]["tail"] == ["boom", "\x1b[2J"]
    assert documents[5]["severity"] == "warning"
    assert documents[1]["fire_at"] == "2026-01-02T08:00:00Z"


@pytest.mark.parametrize(
    ("output", "shown"), [("none", []), ("fail", ["boom", "\x1b[2J"]), ("all", ["fine", "boom", "\x1b[2J"])]
)
def test_output_option_chooses_whose_lines_are_shown(output: str, shown: list[str]) -> None:
    world = terminal()
    display = make_display("json", output, world)
    for event in EVENTS:
        display.event(event)
    display.flush()
    tails = [json.loads(line).get("tail", []) for line in written(world.out).splitlines()]
    assert [line for tail in tails for line in tail] == shown


def test_every_event_has_words_a_severity_and_one_line() -> None:
    for event in EVENTS:
        word, rest = sentence(event)
        assert word or rest
        assert "\n" not in word + rest
        assert severity(event) in {"error", "warning", "notice", "info"}


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (EVENTS[0], "cronq 0.1.0 · 12 jobs · 1 worker · /x/cronq.db"),
        (EVENTS[2], "08:00:00  etl #812     start   lag 41ms"),
        (EVENTS[3], "08:00:00  etl #812     start   lag 0ms · attempt 2"),
        (EVENTS[4], "08:00:00  etl #812     ok      3.2s"),
        (FAILED, "08:00:00  backup #813  FAIL    exit 23 after 4m10s · retry 1/2 in 30s"),
        (EVENTS[6], "08:00:00  etl #9       stopped  cancelled after 1.0s"),
        (EVENTS[7], "08:00:00  etl #9       FAIL    timeout 30s after 30s"),
        (EVENTS[8], "08:00:00  backup #815  missed  3 fire times · late"),
        (EVENTS[10], "08:00:00  worker w1 died with run #812, exit 137"),
        (EVENTS[12], "08:00:00  the clock jumped\\n"),
        (EVENTS[13], "08:00:00  stopping: waiting for report #814 (up to 30s) — Ctrl-C again to kill"),
        (EVENTS[14], "08:00:00  stopping"),
        (
            EVENTS[15],
            "08:00:00  stopping: waiting for a #1 and b #2 and 2 more (up to 30s) — Ctrl-C again to kill",
        ),
        (EVENTS[16], "08:00:00  ran 37 · 36 ok · 1 failed · 2h05m"),
    ],
)
def test_terminal_lines(event: Event, line: str) -> None:
    assert event_lines(event, (), 11, terminal(tty=True)) == [line]


def test_terminal_lines_show_output_below_without_its_escapes() -> None:
    lines = event_lines(FAILED, FAILED.tail, 0, terminal(tty=True))
    assert "2 lines of output below" in lines[0]
    assert lines[1:] == ["          | boom", "          | ^[[2J"]


def test_terminal_lines_have_an_ascii_form() -> None:
    for event in EVENTS:
        assert all(line.isascii() for line in event_lines(event, (), 0, terminal(tty=True, ascii_only=True)))


SNAPSHOT = Snapshot(
    NOW,
    (RunningRun("report", 814, NOW - 12 * SECOND, 20.0), RunningRun("new", 815, NOW - 2 * SECOND, None)),
    (("etl", NOW + 3_540 * SECOND), ("backup", NOW + 39_600 * SECOND)),
    3,
    4,
)


def test_footer_shows_running_next_and_queue() -> None:
    head, first, second = footer_lines(SNAPSHOT, 80)
    assert head.startswith("─ running 2/4 · queue 3 · next: etl 59m, backup 11h ─")
    assert first == "  report #814  12s  ▕████────▏ ~20s"
    assert second == "  new #815  2s"


def test_footer_keeps_to_the_width_and_to_ascii() -> None:
    for width in (10, 20, 40, 200):
        assert all(len(line) <= max(width, 10) for line in footer_lines(SNAPSHOT, width))
    assert all(line.isascii() for line in footer_lines(SNAPSHOT, 80, ascii_only=True))


def test_footer_sums_up_what_does_not_fit() -> None:
    many = tuple(RunningRun("j", number, NOW, 0.0) for number in range(9))
    lines = footer_lines(Snapshot(NOW, many, (), 0, 9), 80)
    assert len(lines) == 6
    assert lines[-1] == "  and 5 more"


@pytest.fixture
def live() -> Iterator[tuple[TerminalDisplay, io.StringIO]]:
    world = terminal(tty=True)
    display = make_display("auto", "fail", world)
    assert isinstance(display, TerminalDisplay)
    assert isinstance(world.out, io.StringIO)
    yield display, world.out
    display.close()


def test_terminal_display_prints_events_and_takes_the_footer_away(
    live: tuple[TerminalDisplay, io.StringIO],
) -> None:
    display, out = live
    display.event(EVENTS[2])
    display.redraw(SNAPSHOT)
    assert "running 2/4" in out.getvalue()
    before = len(out.getvalue())
    display.close()
    display.close()
    assert "\x1b[2K" in out.getvalue()[before:]
    assert "start   lag 41ms" in out.getvalue()


def test_terminal_display_says_nothing_of_queued_runs(live: tuple[TerminalDisplay, io.StringIO]) -> None:
    display, out = live
    display.event(EVENTS[1])
    assert out.getvalue() == ""


@pytest.mark.parametrize("log_format", ["text", "json", "auto"])
@pytest.mark.parametrize("tty", [True, False])
def test_display_survives_a_stream_that_is_gone(log_format: str, tty: bool) -> None:
    world = terminal(tty=tty)
    display = make_display(log_format, "all", world)
    display.event(EVENTS[2])
    world.out.close()
    for event in EVENTS:
        display.event(event)
        display.redraw(SNAPSHOT)
    display.close()
