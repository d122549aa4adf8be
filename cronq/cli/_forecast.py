"""What a scheduler would do in the next hour: the planner's decisions about now, and the fire times ahead."""

from __future__ import annotations

from heapq import merge
from itertools import islice
from typing import NamedTuple

from cronq.cli._change import settle
from cronq.cli._session import Session
from cronq.model import SECOND, Micros
from cronq.plan import Fire
from cronq.render.text import plain
from cronq.render.times import iso
from cronq.store import DueJob
from cronq.timing import times_of

AHEAD_S = 3600
MOST = 10_000


class Expected(NamedTuple):
    """One thing that would happen.

    Attributes:
        at: The fire time; of a gap, its first.
    """

    at: Micros
    job: str
    decision: str


def answer_forecast(session: Session) -> int:
    """Print the decisions of the next hour, and act on none."""
    now = session.started_at
    with session.store(read_only=True) as store:
        calendars = store.calendars()
        jobs = [overview.job.name for overview in store.overviews(recent=0)]
        expected = [_of_job(due, now, calendars) for due in store.due(jobs) if due.job.paused_at is None]
        running = store.totals().running
    lines = list(islice(merge(*expected), MOST))
    if session.options.json:
        session.json({"decisions": [{"at": iso(e.at), "job": e.job, "decision": e.decision} for e in lines]})
        return 0
    session.rows(
        ["fire_time", "job", "decision"], ([iso(e.at) or "", e.job, plain(e.decision)] for e in lines)
    )
    session.tell(f"{len(lines)} decisions in the next hour; {running} runs would be looked after first")
    return 0


def _of_job(due: DueJob, now: Micros, calendars: dict[str, str]) -> list[Expected]:
    job = due.job
    launch = settle(due, now, calendars)
    found = []
    for entry in launch.entries:
        if isinstance(entry, Fire):
            found.append(Expected(entry.fire_at, job.name, f"run ({entry.trigger.value.replace('_', '-')})"))
        else:
            count = f" ×{entry.fire_count}" if entry.fire_count > 1 else ""
            decision = f"{entry.outcome.value}{count}: {entry.reason}"
            found.append(Expected(entry.first_fire_at, job.name, decision))
    ahead = times_of(job, calendars).iter_us(now + 1, now + AHEAD_S * SECOND)
    return found + [Expected(at, job.name, "run (schedule)") for at in islice(ahead, MOST)]
