"""A tick as JUnit XML: a case for each fire time, in the dialect that CI servers read.

Nobody owns the format. This is valid by the schema of Jenkins' xUnit plugin (`junit-10.xsd`), has what Ant's
schema (`JUnit.xsd`) requires of a case and its suite, and keeps output with its case, as Surefire and pytest
do: one `testsuites`, a `testsuite` for each job, and attributes that add up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cronq.clock import datetime_from_us
from cronq.model import SECOND, Micros, Outcome
from cronq.report.cases import Case, Tick

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even as a reference (w3.org/TR/xml, production 2)."""
_ERRORS = frozenset({Outcome.ABANDONED, Outcome.CANCELLED})
"""Not the job failed, but what it ran in."""


def junit(tick: Tick) -> str:
    """Return the XML."""
    by_job: dict[str, list[Case]] = {}
    for case in tick.cases:
        by_job.setdefault(case.job, []).append(case)
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    totals = _totals(tick.cases)
    lines.append(f'<testsuites name="cronq tick" {totals}>')
    for job in sorted(by_job):
        lines += _suite(job, by_job[job], tick)
    lines.append("</testsuites>")
    return "\n".join(lines) + "\n"


def _suite(job: str, cases: list[Case], tick: Tick) -> Iterable[str]:
    skipped = sum(not _ran(case) for case in cases)
    yield (
        f'  <testsuite name="{_quoted(job)}" {_totals(cases)} skipped="{skipped}" '
        f'timestamp="{_at(tick.at).removesuffix("Z")}" hostname="localhost">'
    )
    for case in cases:
        yield from _case(case)
    yield "  </testsuite>"


def _case(case: Case) -> Iterable[str]:
    name = _at(case.at)
    if case.fire_count > 1:
        name += f" and {case.fire_count - 1} more"
    yield f'    <testcase classname="{_quoted(case.job)}" name="{name}" time="{case.duration_s:.3f}">'
    message = _quoted(f"{case.outcome.value}: {case.reason}" if case.reason else case.outcome.value)
    if not _ran(case):
        yield f'      <skipped type="{case.outcome.value}" message="{message}"/>'
    elif case.outcome in _ERRORS:
        yield f'      <error type="{case.outcome.value}" message="{message}">{message}</error>'
    elif case.outcome is not Outcome.SUCCESS:
        yield f'      <failure type="{case.outcome.value}" message="{message}">{message}</failure>'
    said = [f"run #{case.run_id}, attempt {case.attempt}"] if case.attempt else []
    if case.tail:
        yield f"      <system-out>{_escaped(chr(10).join([*said, *case.tail]))}</system-out>"
    yield "    </testcase>"


def _totals(cases: Iterable[Case]) -> str:
    found = list(cases)
    errors = sum(_ran(case) and case.outcome in _ERRORS for case in found)
    failures = sum(case.has_failed and case.outcome not in _ERRORS for case in found)
    took_s = sum(case.duration_s for case in found)
    return f'tests="{len(found)}" failures="{failures}" errors="{errors}" time="{took_s:.3f}"'


def _ran(case: Case) -> bool:
    """Return whether a process was there; a run that was cancelled in the queue had none."""
    return case.outcome not in {Outcome.SKIPPED, Outcome.MISSED} and case.attempt > 0


def _at(at: Micros) -> str:
    moment = datetime_from_us(at).replace(tzinfo=None)
    return moment.isoformat(timespec="microseconds" if at % SECOND else "seconds") + "Z"


def _escaped(text: str) -> str:
    text = _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("\r", "&#13;")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")
