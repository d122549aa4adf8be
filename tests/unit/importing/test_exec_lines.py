"""Command lines of systemd, and what a shell makes of what they become."""

from __future__ import annotations

import subprocess

import pytest

from cronq.importing.exec_lines import ExecError, read_exec
from cronq.importing.units import read_unit, seconds_of

SPECIFIERS = {"h": "/home/me", "n": "a.service"}
SHOW = "printf <%%s>"


@pytest.mark.parametrize(
    ("text", "prefixes", "words"),
    [
        ("/bin/a b", "", ("/bin/a", "b")),
        ("-/bin/a 'b c' \"d e\"", "-", ("/bin/a", "b c", "d e")),
        ("@/bin/a name x", "@", ("/bin/a", "x")),
        ("-+/bin/a", "-+", ("/bin/a",)),
        ("/bin/a %h/x 100%% %n", "", ("/bin/a", "/home/me/x", "100%", "a.service")),
    ],
)
def test_words_and_prefixes_are_read(text: str, prefixes: str, words: tuple[str, ...]) -> None:
    line = read_exec(text, SPECIFIERS)
    assert (line.prefixes, line.words, line.has_variables) == (prefixes, words, False)


@pytest.mark.parametrize("text", ["", "-", "/bin/a 'b", "/bin/a %t", "/bin/a %", "@/bin/a"])
def test_what_cannot_be_taken_over_is_refused(text: str) -> None:
    with pytest.raises(ExecError):
        read_exec(text, SPECIFIERS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$TWO", "<one><two>"),
        ("${TWO}", "<one two>"),
        ("a${TWO}b", "<aone twob>"),
        ("a$TWO", "<a$TWO>"),
        ("$$TWO", "<$TWO>"),
        ("'$$5 `x` \"q\"'", '<$5 `x` "q">'),
        ("\"a b\" '*' ${TWO}", "<a b><*><one two>"),
        ("a;b ${TWO}", "<a;b><one two>"),
    ],
)
def test_shell_puts_variables_in_as_systemd_does(text: str, expected: str) -> None:
    line = read_exec(f"{SHOW} {text}", {})
    done = subprocess.run(
        ["/bin/sh", "-c", line.shell], env={"TWO": "one two", "PATH": "/bin"}, capture_output=True, check=True
    )
    assert done.stdout.decode() == expected
    assert line.has_variables


def test_colon_keeps_variables_out() -> None:
    line = read_exec(f":{SHOW} $TWO", {})
    assert not line.has_variables
    assert line.shell == "printf '<%s>' '$TWO'"


def test_failure_of_a_dashed_command_counts_as_success() -> None:
    assert subprocess.run(["/bin/sh", "-c", read_exec("-false", {}).shell]).returncode == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5), ("5min", 300), ("1h 30min", 5400), ("2hours", 7200), ("1d12h", 129_600), ("500ms", 0.5)],
)
def test_time_spans_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "5 parsecs", "-5", "5min!"])
def test_what_is_no_time_span_is_none(text: str) -> None:
    assert seconds_of(text) is None


def test_drop_ins_add_and_empty_values_reset() -> None:
    unit = read_unit(
        "a.timer",
        [
            ("a.timer", "[Timer]\n# c\n; c\nOnCalendar=daily\nOnCalendar = weekly\nUnit=b.service\n"),
            ("a.timer.d/x.conf", "[Timer]\nOnCalendar=\nOnCalendar=monthly\nUnit=\n[X]\nA=b \\\n  c\n"),
        ],
    )
    (only,) = unit.all("Timer", "OnCalendar")
    assert (only.value, only.place.words) == ("monthly", "a.timer.d/x.conf line 3")
    assert unit.last("Timer", "Unit") is None
    assert [(one.key, one.value, one.place.line) for one in unit.all("X", "A")] == [("A", "b c", 6)]


def test_variables_are_not_shown_in_errors() -> None:
    unit = read_unit("a.service", [("a.service", "[Service]\nEnvironment=TOKEN=S3CRET\n")])
    assert unit.all("Service", "Environment")[0].place.text == ""
