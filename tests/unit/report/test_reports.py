"""JUnit, GitHub and GitLab: the forms are right whatever jobs are called, and whatever they print."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from cronq.errors import ExitCode, UsageError
from cronq.model import SECOND, Outcome
from cronq.report.cases import Case, Tick, Waiting, by_row, sentence_of
from cronq.report.github import MOST_BYTES, commands, disarmed, summary
from cronq.report.gitlab import sections
from cronq.report.junit import junit
from cronq.report.verdict import FailOn, exit_code, read_fail_on

AT = 1_777_636_800 * SECOND
HOSTILE = (
    "]]> & <b>\"'</testcase>\x00\x1b[31m\x9b\ud800\ufffe",
    "::error title=x::y",
    "##[add-matcher]x",
    "50% %0A::stop",
    "a\r::set-output name=x::y",
    "``` </pre><img src=x onerror=alert(1)> [a](http://evil) @all | $x$",
    "\u202e\u2028section_end:1:x\r\x1b[0K",
)


def case(outcome: Outcome = Outcome.SUCCESS, **values: object) -> Case:
    usual: dict[str, object] = {"attempt": 0 if outcome in {Outcome.MISSED, Outcome.SKIPPED} else 1}
    return Case("job", AT, 7, outcome)._replace(**{**usual, **values})  # type: ignore[arg-type]


EVERYTHING = Tick(
    AT,
    (
        *(case(outcome, reason=HOSTILE[0], tail=HOSTILE, run_id=n) for n, outcome in enumerate(Outcome)),
        case(Outcome.CANCELLED, attempt=0, reason="cancelled in the queue"),
        case(Outcome.MISSED, fire_count=12),
        case(job="other", duration_s=1234.5),
    ),
    (Waiting("job", AT, 9, AT + SECOND, 1),),
    is_spent=True,
)

# What we use of the schema of Jenkins' xUnit plugin (junit-10.xsd), with the attributes that Ant's
# (windyroad/JUnit-Schema) requires: elements with their attributes, those that are required, their children.
SCHEMA: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, set(), {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "time", "skipped", "timestamp", "hostname"},
        {"name", "tests", "failures", "errors", "time", "timestamp", "hostname"},
        {"testcase"},
    ),
    "testcase": (
        {"name", "classname", "time"},
        {"name", "classname", "time"},
        {"skipped", "error", "failure", "system-out"},
    ),
    "skipped": ({"type", "message"}, set(), set()),
    "error": ({"type", "message"}, {"type"}, set()),
    "failure": ({"type", "message"}, {"type"}, set()),
    "system-out": (set(), set(), set()),
}


def check(element: ET.Element) -> None:
    """Raise unless an element, and all within, is as the schemas say."""
    known, required, children = SCHEMA[element.tag]
    assert required <= set(element.attrib) <= known, element.attrib
    for name in {"tests", "failures", "errors", "skipped"} & set(element.attrib):
        assert element.attrib[name].isdecimal()
    if "time" in element.attrib:
        assert re.fullmatch(r"[0-9]+\.[0-9]{3}", element.attrib["time"])
    if "timestamp" in element.attrib:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", element.attrib["timestamp"])
    tags = [child.tag for child in element]
    assert set(tags) <= children
    if element.tag == "testcase":
        assert sum(tag != "system-out" for tag in tags) <= 1
    for child in element:
        check(child)


@pytest.mark.parametrize("tick", [Tick(AT), EVERYTHING], ids=["nothing", "everything"])
def test_junit_is_what_the_schemas_say(tick: Tick) -> None:
    root = ET.fromstring(junit(tick).encode())
    assert root.tag == "testsuites"
    check(root)


def test_checker_of_the_schema_finds_what_is_wrong() -> None:
    for wrong in ("<testsuites><testcase/></testsuites>", '<testsuite name="a"/>', '<testcase name="a"/>'):
        with pytest.raises(AssertionError):
            check(ET.fromstring(wrong))


def test_junit_adds_up() -> None:
    root = ET.fromstring(junit(EVERYTHING).encode())
    cases = root.findall("testsuite/testcase")
    assert len(cases) == len(EVERYTHING.cases) == int(root.attrib["tests"])
    assert sum(int(suite.attrib["tests"]) for suite in root) == len(cases)
    assert len(root.findall("testsuite/testcase/failure")) == int(root.attrib["failures"]) == 2
    assert len(root.findall("testsuite/testcase/error")) == int(root.attrib["errors"]) == 2
    assert len(root.findall("testsuite/testcase/skipped")) == 4
    assert sum(int(suite.attrib["skipped"]) for suite in root) == 4


def test_junit_says_why_and_what_was_printed() -> None:
    tick = Tick(
        AT, (case(Outcome.MISSED, reason="late"), case(Outcome.FAILURE, reason="exit 3", tail=("a<b",)))
    )
    root = ET.fromstring(junit(tick).encode())
    assert [e.attrib["message"] for e in root.iter("skipped")] == ["missed: late"]
    assert [e.attrib["message"] for e in root.iter("failure")] == ["failure: exit 3"]
    assert [e.text for e in root.iter("system-out")] == ["run #7, attempt 1\na<b"]


def test_workflow_commands_are_one_line_each_and_say_nothing_else() -> None:
    found = commands(EVERYTHING)
    assert all(re.match(r"::(error|warning) title=[^:,]+::", line) for line in found)
    assert not any(set(line) & set("\r\n\x1b\x00") for line in found)
    errors = [line for line in found if line.startswith("::error")]
    assert len(errors) == 3
    assert "50%25 %250A" in errors[0]


def test_annotations_are_few() -> None:
    tick = Tick(AT, tuple(case(Outcome.FAILURE, run_id=n) for n in range(50)))
    assert len(commands(tick)) == 10
    assert commands(tick)[-1].endswith("and 41 more; see the summary")


@pytest.mark.parametrize("line", [*HOSTILE, "  ::error::x", "\t::warning::y", "x ##[error]y"])
def test_output_holds_no_command_for_the_runner(line: str) -> None:
    shown = disarmed(line)
    assert not shown.lstrip().startswith("::")
    assert "##[" not in shown


def test_summary_is_text_whatever_is_printed() -> None:
    text = summary(EVERYTHING)
    for harmful in ("<img", "](", "@all", "```", "</pre><", "\x1b", "\u202e", "\x00", "http:"):
        assert harmful not in text, harmful
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(by_row(EVERYTHING.cases))
    assert {row.count("|") for row in rows} == {6}
    assert "Waiting for the next tick" in text


def test_summary_is_never_too_long_to_be_shown() -> None:
    lines = tuple("x" * 1000 for _ in range(50))
    tick = Tick(AT, tuple(case(Outcome.FAILURE, tail=lines, run_id=n) for n in range(2000)))
    assert len(summary(tick).encode()) <= MOST_BYTES
    assert "1500 more" in summary(tick)


def test_sections_are_opened_and_closed_once_whatever_is_printed() -> None:
    text = "\n".join(sections(EVERYTHING))
    opened = re.findall(r"\x1b\[0Ksection_start:\d+:(\S+?)(?:\[collapsed=true\])?\r\x1b\[0K", text)
    closed = re.findall(r"\x1b\[0Ksection_end:\d+:(\S+?)\r\x1b\[0K", text)
    assert opened == closed
    assert len(opened) == len(Outcome)
    assert text.count("\x1b") == 4 * len(opened)


def test_rows_are_one_line_for_people() -> None:
    missed = [case(Outcome.MISSED, at=AT + n, run_id=1) for n in range(5)]
    assert [one.fire_count for one in by_row([*missed, case(run_id=2)])] == [5, 1]


def test_sentence() -> None:
    assert sentence_of(Tick(AT)) == "nothing was due"
    tick = Tick(AT, (case(), case(Outcome.MISSED, fire_count=2)), EVERYTHING.waiting, is_spent=True)
    assert sentence_of(tick) == (
        "3 fire times: 1 ok, 2 missed; 1 waits for the next tick; the budget is spent"
    )


@pytest.mark.parametrize(
    ("cases", "fail_on", "expected"),
    [
        ((), "", ExitCode.OK),
        ((case(),), "missed,skipped,late=1s", ExitCode.OK),
        ((case(Outcome.FAILURE),), "", ExitCode.FAILED),
        ((case(Outcome.TIMEOUT),), "", ExitCode.FAILED),
        ((case(Outcome.ABANDONED),), "", ExitCode.FAILED),
        ((case(Outcome.CANCELLED),), "", ExitCode.OK),
        ((case(Outcome.MISSED),), "skipped", ExitCode.OK),
        ((case(Outcome.MISSED),), "missed", ExitCode.FAILED),
        ((case(Outcome.SKIPPED),), "skipped", ExitCode.FAILED),
        ((case(lag_s=600.0),), "late=10m", ExitCode.OK),
        ((case(lag_s=601.0),), "late=10m", ExitCode.FAILED),
    ],
)
def test_exit_code(cases: tuple[Case, ...], fail_on: str, expected: ExitCode) -> None:
    rule = read_fail_on(fail_on) if fail_on else FailOn()
    assert exit_code(Tick(AT, cases), rule) is expected
    spent = ExitCode.BUDGET if expected is ExitCode.OK else expected
    assert exit_code(Tick(AT, cases, is_spent=True), rule) is spent


@pytest.mark.parametrize("text", ["", "late", "late=", "missing", "missed=1", "missed,,late=1m", "late=soon"])
def test_fail_on_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_fail_on(text)
