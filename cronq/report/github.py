"""A tick in the forms of GitHub Actions: annotations, and the Markdown of a step's summary.

Names and output are other people's. A workflow command ends at the end of its line, and its properties at a
comma or a colon (github.com/actions/toolkit, `command.ts`), so these are escaped; Markdown and the HTML in it
are escaped by references, which are shown as what they stand for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cronq.model import Outcome
from cronq.render.text import plain
from cronq.render.times import duration, iso, span
from cronq.report.cases import Case, Tick, by_row, sentence_of

MOST_ANNOTATIONS = 10
"""Of a kind; GitHub drops further ones of a step without a word."""
MOST_BYTES = 1_000_000
"""Of a summary: what is longer than 1 MiB is not shown at all."""
_MOST_ROWS = 500
_TAIL = 10
_MARKDOWN = {ord(char): f"&#{ord(char)};" for char in "\\`*_[]<>#!|~&@$\"'"}
"""What Markdown, the HTML in it, mentions, formulas and cells begin with."""
_LINK = re.compile("(?i)(http|www|ftp)")


def commands(tick: Tick) -> list[str]:
    """Return workflow commands: errors for what failed, warnings for what was missed or cut short."""
    errors, warnings = [], []
    for case in by_row(tick.cases):
        said = f"{case.job} of {_when(case)}: {_became(case)}"
        if case.has_failed:
            message = "\n".join([said, *case.tail[-_TAIL:]])
            errors.append(_command("error", f"cronq: {case.job}", message))
        elif case.outcome is Outcome.MISSED or case.is_cut:
            warnings.append(_command("warning", f"cronq: {case.job}", said))
    if tick.is_spent:
        text = f"the budget is spent; {len(tick.waiting)} due runs wait for the next tick"
        warnings.insert(0, _command("warning", "cronq", text))
    return [*_few("error", errors), *_few("warning", warnings)]


def _few(kind: str, commands: list[str]) -> list[str]:
    if len(commands) <= MOST_ANNOTATIONS:
        return commands
    more = len(commands) - MOST_ANNOTATIONS + 1
    return [*commands[: MOST_ANNOTATIONS - 1], _command(kind, "cronq", f"and {more} more; see the summary")]


def _command(kind: str, title: str, message: str) -> str:
    shown = "\n".join(disarmed(plain(line)) for line in message.split("\n"))
    return f"::{kind} title={_property(title)}::{_data(shown)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(plain(text)).replace(":", "%3A").replace(",", "%2C")


def disarmed(text: str) -> str:
    """Return a line in which the runner finds no command: neither `::name::` in front, nor `##[name]`."""
    text = text.replace("##[", "# #[")
    return text.replace("::", ": :", 1) if text.lstrip().startswith("::") else text


def summary(tick: Tick) -> str:
    """Return Markdown: a table of what became of each fire time, what waits, and the output of failures."""
    lines = [f"### cronq tick · {iso(tick.at)}", "", _markdown(sentence_of(tick)), ""]
    if tick.cases:
        lines += ["| job | fire time | outcome | lag | took |", "|---|---|---|---:|---:|"]
        ordered = sorted(by_row(tick.cases), key=lambda case: (not case.has_failed, case.job, case.at))
        lines += [_row(case) for case in ordered[:_MOST_ROWS]]
        if len(ordered) > _MOST_ROWS:
            lines += ["", f"… and {len(ordered) - _MOST_ROWS} more."]
        lines.append("")
    if tick.waiting:
        lines += ["Waiting for the next tick:", ""]
        lines += [
            f"- {_markdown(one.job)}, {iso(one.at)}"
            + (f", from {iso(one.available_at)} on" if one.available_at > tick.at else "")
            for one in tick.waiting[:_MOST_ROWS]
        ]
        lines.append("")
    text = "\n".join(lines)
    for case in tick.cases:
        if case.has_failed and case.tail:
            details = "\n".join(_details(case))
            if len((text + details).encode("utf-8", "replace")) > MOST_BYTES:
                break
            text += details
    return text


def _row(case: Case) -> str:
    lag = "" if case.lag_s is None else span(case.lag_s)
    took = duration(case.duration_s) if case.attempt else ""
    became = f"{_sign(case)} {_markdown(_became(case))}"
    return f"| {_markdown(case.job)} | {_when(case)} | {became} | {lag} | {took} |"


def _when(case: Case) -> str:
    return f"{iso(case.at)}" + (f" and {case.fire_count - 1} more" if case.fire_count > 1 else "")


def _sign(case: Case) -> str:
    if case.has_failed:
        return "❌"
    return {Outcome.SUCCESS: "✅", Outcome.SKIPPED: "⏭️"}.get(case.outcome, "⚠️")


def _details(case: Case) -> Iterator[str]:
    yield f"<details><summary>{_markdown(case.job)}, {iso(case.at)}: last lines of output</summary>"
    yield ""
    # As HTML: a fence of backticks could be closed by what is printed.
    yield "<pre>" + "&#10;".join(_markdown(line) for line in case.tail) + "</pre>"
    yield ""
    yield "</details>"
    yield ""


def _became(case: Case) -> str:
    if case.outcome is Outcome.SUCCESS:
        return "ok" if case.attempt <= 1 else f"ok at attempt {case.attempt}"
    return f"{case.outcome.value}: {case.reason}" if case.reason else case.outcome.value


def _markdown(text: str) -> str:
    # An address would become a link; with a reference for its first letter it is only text.
    return _LINK.sub(lambda found: f"&#{ord(found[0][0])};{found[0][1:]}", plain(text).translate(_MARKDOWN))
