"""The table of `cronq list`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo

from cronq.model import SECOND, Micros, Outcome, Run
from cronq.render.locks import lock_words, waited_for
from cronq.render.spark import sparkline
from cronq.render.table import Column, Style, table
from cronq.render.text import Tone, Word, cut, pad, paint, plain, width_of
from cronq.render.times import duration, relative, wall
from cronq.render.words import outcome_word, symbol
from cronq.store.base import JobOverview, LockState

NARROW = 60
"""Below this many columns a job takes two lines."""

BY_HAND = "*"
"""Behind the name of a job that was added by hand, where there are others that a file defines."""

_COLUMNS = (
    Column("NAME"),
    Column("SCHEDULE", least=8, fair=20),
    Column("NEXT"),
    Column("LAST", leaves=3),
    Column("TOOK", right=True, leaves=2),
    Column("LAST 12", leaves=1),
)


def job_lines(
    overviews: Sequence[JobOverview],
    now: Micros,
    zones: Mapping[str, tzinfo],
    style: Style,
    *,
    header: bool = True,
    locks: Sequence[LockState] = (),
) -> list[str]:
    """Return the lines of the table.

    Args:
        overviews: In the order in which they are to stand.
        now: What "in 11h" counts from.
        zones: By name, for each job.
        style: Width, colour and characters.
        header: Whether to print one; never above two-line jobs.
        locks: The named locks, if one of the jobs might wait for one.
    """
    mixed = any(overview.job.origin is not None for overview in overviews)
    parts = [_next(overview, now, zones[overview.job.definition.tz], style) for overview in overviews]
    widest = max((width_of(when) for when, at in parts if at), default=0)
    upcoming = [
        Word(f"{pad(when, widest)}  {at}" if at else when, _tone(overview))
        for (when, at), overview in zip(parts, overviews, strict=True)
    ]
    rows = [
        (
            Word(
                plain(overview.job.name) + (BY_HAND if mixed and overview.job.origin is None else ""),
                Tone.BOLD,
            ),
            Word(plain(overview.job.definition.schedule)),
            next_,
            _last(overview, now, zones[overview.job.definition.tz], style, locks),
            _took(overview),
            Word(_spark(overview, style)),
        )
        for overview, next_ in zip(overviews, upcoming, strict=True)
    ]
    if style.width < NARROW:
        return [line for row in rows for line in _two_lines(row, style)]
    return table(_COLUMNS, rows, style, header=header)


def _tone(overview: JobOverview) -> Tone:
    return Tone.YELLOW if overview.job.paused_at is not None else Tone.PLAIN


def _next(overview: JobOverview, now: Micros, zone: tzinfo, style: Style) -> tuple[str, str]:
    job = overview.job
    if job.paused_at is not None:
        return "paused" if style.ascii_only else "‖ paused", ""
    if job.next_fire_at is None:
        return "-", ""
    when = relative(job.next_fire_at, now, zone)
    at = wall(job.next_fire_at, now, zone)
    return (at, "") if when == at[:10] else (when, at)


def _last(overview: JobOverview, now: Micros, zone: tzinfo, style: Style, locks: Sequence[LockState]) -> Word:
    if overview.active.running:
        took = max(0, now - (overview.running_since or now)) / SECOND
        return Word(f"{'' if style.ascii_only else '… '}running {duration(took)}")
    if overview.active.queued:
        missing = waited_for(overview.job.name, locks)
        text = f"waits for {lock_words(missing[0])}" if missing else "queued"
        return Word(text if style.ascii_only else f"… {text}")
    if not overview.recent:
        return Word("-", Tone.DIM)
    run = overview.recent[0][0]
    return _ended(run, now, zone, style)


def _ended(run: Run, now: Micros, zone: tzinfo, style: Style) -> Word:
    outcome = run.outcome or Outcome.SUCCESS
    ago = relative(run.finished_at or now, now, zone)
    if outcome is Outcome.SUCCESS:
        mark = "ok" if style.ascii_only else symbol(outcome).text
        return Word(f"{mark} {ago}")
    # Only the first words: a spawn error's text is as long as the path it names.
    word = outcome_word(outcome, cut(run.reason.partition(":")[0], 20), ascii_only=style.ascii_only)
    return Word(f"{word.text}, {ago}", word.tone)


def _took(overview: JobOverview) -> Word:
    seconds = overview.recent[0][1] if overview.recent else None
    return Word(duration(seconds)) if seconds is not None else Word("")


def _spark(overview: JobOverview, style: Style) -> str:
    runs = [(run.outcome or Outcome.SUCCESS, took) for run, took in reversed(overview.recent)]
    return sparkline(runs, ascii_only=style.ascii_only)


def _two_lines(row: Sequence[Word], style: Style) -> list[str]:
    name, schedule, next_, last, *_ = row
    room = max(8, style.width - 4 - width_of(last.text))
    below = [Word(cut(schedule.text, room, ascii_only=style.ascii_only), Tone.DIM), last]
    return [_joined((name, next_), style), "  " + _joined(below, style)]


def _joined(words: Sequence[Word], style: Style) -> str:
    return "  ".join(paint(word, color=style.color) for word in words).rstrip()
