"""Two states as one: the union by fire time, and all that they do not agree about.

A fire time that either of them ran counts as run, and the later cursor holds, so whatever was claimed by
both is never run a third time; that it was claimed twice is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cronq.model import Micros, Outcome, State
from cronq.portable.document import Document, DoneRun, JobState, OpenRun, kept


class Conflict(NamedTuple):
    """Something that two states do not agree about.

    Attributes:
        at: The fire time; None: it is about the job.
    """

    job: str
    text: str
    at: Micros | None = None


_Identity = tuple[Micros, int, Micros]


def merge(one: Document, other: Document) -> tuple[Document, list[Conflict]]:
    """Return the union of two states, and their conflicts in the order of the jobs."""
    conflicts: list[Conflict] = []
    jobs = {}
    for name in sorted({*one.jobs, *other.jobs}):
        a, b = one.jobs.get(name), other.jobs.get(name)
        if a is not None and b is not None and a != b:
            behind, ahead = sorted((a, b), key=_progress)
            jobs[name] = _merged(behind, ahead, conflicts)
        else:
            jobs[name] = a or b  # type: ignore[assignment]
    return Document(jobs, max(one.runs, other.runs)), conflicts


def _progress(job: JobState) -> tuple[float, Micros, Micros]:
    """Order states of one job by how far they are; the same whichever comes first."""
    cursor = float("inf") if job.cursor is None else job.cursor
    last = max((run.finished_at for run in job.done), default=0)
    return cursor, last, max((run.claimed_at or run.queued_at for run in job.open), default=0)


def _merged(behind: JobState, ahead: JobState, conflicts: list[Conflict]) -> JobState:
    name = ahead.name
    if behind.firing != ahead.firing:
        conflicts.append(
            Conflict(name, "its schedule is not the same in both; that of the later cursor holds")
        )
    if (behind.paused_at is None) != (ahead.paused_at is None):
        conflicts.append(Conflict(name, "it is paused in only one of them, and stays so"))
    done, still_open = _runs(behind, ahead, conflicts)
    paused = [at for at in (behind.paused_at, ahead.paused_at) if at is not None]
    return ahead._replace(paused_at=min(paused, default=None), done=kept(done), open=still_open)


def _runs(
    behind: JobState, ahead: JobState, conflicts: list[Conflict]
) -> tuple[list[DoneRun], tuple[OpenRun, ...]]:
    by_at: dict[tuple[Micros, bool], list[tuple[JobState, DoneRun | OpenRun]]] = {}
    for job in (behind, ahead):
        runs: list[DoneRun | OpenRun] = [*job.done, *job.open]
        for run in runs:
            # What was made by hand is about an instant, and not alone in that.
            key = (run.at, run.trigger.value in {"schedule", "catch_up"})
            by_at.setdefault(key if key[1] else (run.queued_at, False), []).append((job, run))
    done: list[DoneRun] = []
    still_open: list[OpenRun] = []
    for (at, _), found in sorted(by_at.items(), key=lambda item: item[0]):
        runs = list(dict.fromkeys(run for _, run in found))
        is_one_line = len({_identity(run) for run in runs}) == 1
        chosen = max(runs, key=_lateness) if is_one_line else min(runs, key=_preference)
        if text := _disagreement(runs):
            conflicts.append(Conflict(ahead.name, text, at))
        elif len(found) == 1 and found[0][0] is behind and _is_forgotten(chosen, ahead):
            conflicts.append(
                Conflict(ahead.name, "open in one, and unknown to the other, which is ahead", at)
            )
        if isinstance(chosen, DoneRun):
            done.append(chosen)
        else:
            still_open.append(chosen)
    return done, tuple(still_open)


def _disagreement(runs: Sequence[DoneRun | OpenRun]) -> str:
    """Return what two runs of one fire time say against each other; empty if one is the other, later on."""
    if len(runs) < 2:
        return ""
    if len({_identity(run) for run in runs}) > 1:
        started = sum(isinstance(run, DoneRun) and run.was_started for run in runs)
        claimed = sum(isinstance(run, OpenRun) and run.state is State.RUNNING for run in runs)
        if started + claimed > 1:
            return "claimed by both of them: it may have run twice"
        return "decided by both of them"
    ends = {(run.outcome, run.finished_at) for run in runs if isinstance(run, DoneRun)}
    if len(ends) > 1:
        return "it ended in both of them, and not in the same way"
    claims = {(run.attempt, run.claimed_at) for run in runs if isinstance(run, OpenRun) and run.claimed_at}
    if len(claims) > len({attempt for attempt, _ in claims}):
        return "the same attempt was claimed by both of them: it may have run twice"
    return ""


def _is_forgotten(run: DoneRun | OpenRun, ahead: JobState) -> bool:
    """Return whether something open lies before the cursor of a state that does not know of it."""
    return isinstance(run, OpenRun) and (ahead.cursor is None or run.at < ahead.cursor)


def _identity(run: DoneRun | OpenRun) -> _Identity:
    return (run.at, run.run_id, run.queued_at)


def _lateness(run: DoneRun | OpenRun) -> tuple[bool, int, bool, tuple[int, ...]]:
    """Order what is known of one run, the latest last: an attempt that ended is behind its claim."""
    if isinstance(run, DoneRun):
        return (True, run.attempt, True, tuple(-number for number in _preference(run)))
    return (False, run.attempt, run.state is State.QUEUED, (run.failures, run.claimed_at or 0))


def _preference(run: DoneRun | OpenRun) -> tuple[int, int, int, Micros, int]:
    """Order what is known of a fire time, the safest first: it ran; it may be running; it was not run."""
    if isinstance(run, DoneRun):
        rank = 0 if run.outcome is Outcome.SUCCESS else 1 if run.was_started else 4
        return (rank, -run.attempt, 0, -run.finished_at, run.run_id)
    return (2 if run.state is State.RUNNING else 3, -run.attempt, 0, -run.queued_at, run.run_id)
