"""From a portable state to what a dead man's switch asks: what is known of a job (`cronq.overdue.Watched`).

A state keeps no revisions: since when a job has its schedule follows from what its rows account for.
"""

from __future__ import annotations

from cronq.model import SECOND, Definition, Micros, Outcome
from cronq.overdue import Standing, Success, Verdict, Watched, judge
from cronq.plan import FireTimes, Placement
from cronq.portable.document import KEPT, DoneRun, JobState


def verdict_of(
    state: JobState,
    definition: Definition,
    times: FireTimes,
    placement: Placement | None,
    now: Micros,
    *,
    is_paused: bool,
    within_s: float | None = None,
    late_s: float | None = None,
) -> Verdict:
    """Return how a job stands.

    Args:
        state: What is known of it.
        definition: As the file of jobs has it, with the fire times of the state.
        times: Those fire times.
        placement: Where its starts are put.
        now: The instant that counts.
        is_paused: By the file or by the state.
        within_s: See `cronq.overdue.judge`.
        late_s: Likewise.
    """
    watched = Watched(
        state.name,
        definition,
        times,
        _known_since(state, now),
        placement,
        _newest_success(state),
        is_paused,
        max((_took_s(run) for run in state.done), default=0.0),
    )
    verdict = judge(watched, now, within_s=within_s, late_s=late_s)
    if verdict.standing is Standing.OVERDUE and verdict.fire_at is not None:
        if _was_promised(state, verdict.fire_at):
            return verdict
        # It is one of a schedule that the job did not have at the time.
        return judge(watched._replace(since=verdict.fire_at), now, late_s=late_s)
    return verdict


def _known_since(state: JobState, now: Micros) -> Micros:
    """Return the instant up to which nothing was expected of a job."""
    if len(state.done) >= KEPT:
        return 0  # There was more than what is kept; not one success among it, if none is there.
    known = [*(run.at for run in state.done), *(run.at for run in state.open)]
    if state.cursor is not None:
        known.append(state.cursor)
    return min(known, default=now + 1) - 1


def _was_promised(state: JobState, fire_at: Micros) -> bool:
    """Return whether the job had a fire time: it is not accounted for yet, or a row is about it."""
    if state.cursor is not None and fire_at >= state.cursor:
        return True
    ends = sorted((max(run.at, run.last_at) for run in state.done), reverse=True)
    if len(ends) >= KEPT and fire_at <= ends[KEPT - 1]:
        return True  # Rows about it are not kept.
    return any(run.at <= fire_at <= max(run.at, run.last_at) for run in state.done) or any(
        run.at == fire_at for run in state.open
    )


def _newest_success(state: JobState) -> Success | None:
    """Return what the newest successes were about at the latest, and when the last of them ended."""
    found = [run for run in state.done if run.outcome is Outcome.SUCCESS]
    if not found:
        return None
    return Success(max(run.at for run in found), max(run.finished_at for run in found))


def _took_s(run: DoneRun) -> float:
    if run.outcome is not Outcome.SUCCESS or run.started_at is None:
        return 0.0
    return max(run.finished_at - run.started_at, 0) / SECOND
