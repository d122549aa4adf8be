"""A tick in the form of GitLab CI: a section for each run that printed something.

A section is opened and closed by an escape sequence on a line of its own
(docs.gitlab.com/ci/jobs/job_logs/#custom-collapsible-sections).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cronq.model import SECOND, Outcome
from cronq.render.text import plain
from cronq.render.times import iso
from cronq.report.cases import Case, Tick

_NAME = re.compile("[^a-z0-9_.-]")


def sections(tick: Tick) -> Iterator[str]:
    """Yield lines, ready to be written as they are."""
    end = tick.at // SECOND + round(tick.took_s)
    for case in tick.cases:
        if not case.tail:
            continue
        name = f"cronq_{case.run_id}_{_NAME.sub('_', case.job)}"
        options = "" if case.has_failed else "[collapsed=true]"
        begun = end - round(case.duration_s)
        yield f"\x1b[0Ksection_start:{begun}:{name}{options}\r\x1b[0K{_header(case)}"
        # A line of output can hold no escape, so it can open and close nothing.
        yield from (f"  {plain(line)}" for line in case.tail)
        yield f"\x1b[0Ksection_end:{end}:{name}\r\x1b[0K"


def _header(case: Case) -> str:
    became = "ok" if case.outcome is Outcome.SUCCESS else plain(f"{case.outcome.value} {case.reason}".strip())
    return f"{plain(case.job)} #{case.run_id} of {iso(case.at)}: {became}"
