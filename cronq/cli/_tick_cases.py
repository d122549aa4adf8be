"""From the rows of a tick to its cases: each fire time by itself, with the end of what was printed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from cronq.errors import CronqError
from cronq.model import SECOND, Micros, Run, State
from cronq.report.cases import Case, Tick, case_of, waiting_in
from cronq.timing import fire_times
from cronq.worker.environment import secrets_now
from cronq.worker.files import tail_lines

if TYPE_CHECKING:
    from cronq.cli._session import Session
    from cronq.store.sqlite_tick import TickStore
    from cronq.ticking import Done

MOST = 1000
"""Fire times of one row that get a case each; the rest of them share one."""
TAIL_LINES = 50
TAIL_BYTES = 16 * 1024


def tick_of(session: Session, store: TickStore, now: Micros, done: Done) -> Tick:
    """Return what a tick did."""
    cases: list[Case] = []
    for run, attempt in done.rows:
        if run.state is not State.DONE:
            continue
        case = case_of(run, attempt, done.cut)
        if run.attempt:
            masker = secrets_now(store.definition(run.job_id, run.revision), session.environment.environ)
            path = session.place.log_file(run.id, run.attempt)
            case = case._replace(tail=tail_lines(path, TAIL_LINES, TAIL_BYTES, masker))
        cases += _each(store, run, case) if run.fire_count > 1 else (case,)
    took_s = (session.environment.now() - now) / SECOND
    return Tick(now, tuple(cases), waiting_in(done.rows), done.is_spent, took_s)


def _each(store: TickStore, run: Run, case: Case) -> Iterator[Case]:
    """Yield a case for each fire time of a row; the last one for the rest, if there are too many."""
    try:
        definition = store.definition(run.job_id, run.revision)
        times = fire_times(definition, run.job, store.calendars())
    except CronqError:
        yield case  # its rules are gone; the row knows how many there were
        return
    end = case.at if run.last_fire_at is None else run.last_fire_at
    found = list(islice(times.iter_us(case.at, end + 1), min(MOST, run.fire_count)))
    if not found:
        yield case
        return
    yield from (case._replace(at=at, fire_count=1) for at in found[:-1])
    yield case._replace(at=found[-1], fire_count=run.fire_count - len(found) + 1)
