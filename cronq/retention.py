"""How much of a job's history is kept: what `--keep` says, and which finished runs are beyond it.

Pure. Runs are ordered by their numbers, which within a job is the order of their fire times. Count and size
let go of whatever is older than the newest run that they leave no room for; age looks at each run alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

from cronq.errors import UsageError
from cronq.model import SECOND, Micros
from cronq.sizes import format_size, parse_size

TOMBSTONE_S = 7 * 86_400.0
"""How long a removed job may be brought back; until then its newest runs stay, as those of any other job."""

MOST_RUNS = 1_000_000_000
LEAST_AGE_S = 1.0
_COUNT = re.compile(r"[0-9]{1,12}")
# An `m` alone is neither a size nor an age here: who takes 500m for megabytes would lose his history.
_SIZE = re.compile(r"[0-9.]+ ?(?:[KMGT]|[kgt]|[kmgt]?i?b)|[0-9.]+ ?[KMGT]?i?B")
_MINUTES_OR_MEGABYTES = re.compile(r"[0-9.]+ ?m")
_GRAMMAR = "an age, a number of runs, a size of logs, or several of them: 30d,1000,1G"


class Keep(NamedTuple):
    """Limits of a job's history; a run that is beyond any of them is removed.

    Attributes:
        age_s: Of a run, since it finished.
        runs: How many finished ones.
        size: Bytes that the logs of finished runs take on the disk.
    """

    age_s: float | None = None
    runs: int | None = None
    size: int | None = None

    @property
    def text(self) -> str:
        """The normal form, which `parse_keep` reads as exactly these limits."""
        return ",".join(_texts(self))


def _texts(keep: Keep) -> Iterable[str]:
    if keep.age_s is not None:
        yield _age_text(keep.age_s)
    if keep.runs is not None:
        yield str(keep.runs)
    if keep.size is not None:
        size = format_size(keep.size)
        yield f"{size}B" if size.isdecimal() else size


def _age_text(age_s: float) -> str:
    """Return an age as people say it: in days, never in weeks."""
    from cronq.schedule.duration import format_duration

    days, rest_ms = divmod(round(age_s * 1000), 86_400_000)
    text = f"{days}d" if days else ""
    text += format_duration(rest_ms / 1000) if rest_ms or not days else ""
    return f"{text}in" if _MINUTES_OR_MEGABYTES.fullmatch(text) else text


def parse_keep(text: str) -> Keep:
    """Return the limits that a text such as `30d,1000,1G` names, in any order.

    Raises:
        UsageError: It cannot be read, or names a limit of one kind twice.
    """
    limits: dict[str, float | int] = {}
    for part in text.split(","):
        kind, value = _limit(part.strip())
        if kind in limits:
            what = {"age_s": "ages", "runs": "numbers of runs", "size": "sizes"}[kind]
            raise UsageError(f"`{text[:80]}` names two {what}", hint=f"give {_GRAMMAR}")
        limits[kind] = value
    return Keep(**limits)  # type: ignore[arg-type]


def _limit(part: str) -> tuple[str, float | int]:
    if not part:
        raise UsageError("a limit is missing", hint=f"give {_GRAMMAR}")
    if _COUNT.fullmatch(part):
        if not 1 <= int(part) <= MOST_RUNS:
            raise UsageError(f"{part} is out of range 1 to {MOST_RUNS}")
        return "runs", int(part)
    if _MINUTES_OR_MEGABYTES.fullmatch(part):
        number = part.rstrip("m ")
        raise UsageError(
            f"`{part}` may be minutes or megabytes",
            hint=f"write {number}min for an age, {number}M for a size of logs",
        )
    if _SIZE.fullmatch(part):
        return "size", parse_size(part)
    if not part[0].isdigit():
        raise UsageError(f"`{part[:40]}` is no limit", hint=f"give {_GRAMMAR}")
    from cronq.schedule.duration import parse_duration

    age_s = parse_duration(part)
    if age_s < LEAST_AGE_S:
        raise UsageError(f"`{part}` is too short", hint="at least 1s")
    return "age_s", age_s


class Edge(NamedTuple):
    """Where the history that is kept begins, at one instant.

    Attributes:
        run_id: The newest run that count and size leave no room for; None: there is room for all.
        before: Runs that finished before this are too old; None: none is.
        now: Times after this are from a clock that was wrong, and say nothing.
    """

    run_id: int | None
    before: Micros | None
    now: Micros

    def __bool__(self) -> bool:
        return self.run_id is not None or self.before is not None


class Row(NamedTuple):
    """A run of any state, as far as retention looks at it.

    Attributes:
        attempts: How many it had, each of which may have left a log.
        finished_at: None: it is not done, and never goes.
    """

    id: int
    attempts: int
    queued_at: Micros
    finished_at: Micros | None


def edge_of(keep: Keep, now: Micros, *, beyond: Collection[int | None] = ()) -> Edge:
    """Return the edge of a history, given the newest runs that count and size have no room for."""
    before = None if keep.age_s is None else now - round(keep.age_s * SECOND)
    return Edge(max((run_id for run_id in beyond if run_id is not None), default=None), before, now)


def beyond_size(
    limit: int, newest_first: Iterable[tuple[int, int]], spent: int = 0
) -> tuple[int | None, int]:
    """Return the newest run whose log does not fit any more, and how much is spent up to there.

    Args:
        limit: Bytes.
        newest_first: (number, bytes) of runs.
        spent: By newer ones than these.
    """
    for run_id, size in newest_first:
        spent += size
        if spent > limit:
            return run_id, spent
    return None, spent


def surplus(edge: Edge, oldest_first: Iterable[Row], spared: Collection[int]) -> tuple[list[Row], bool]:
    """Return which of these runs go, oldest first, and whether no run after them can.

    Args:
        edge: Of the history that is kept.
        oldest_first: A page of a job's runs.
        spared: Runs that stay, however old.
    """
    going: list[Row] = []
    for row in oldest_first:
        if not _may_follow(edge, row):
            return going, True
        if row.finished_at is not None and row.id not in spared and _is_beyond(edge, row.id, row.finished_at):
            going.append(row)
    return going, False


def _is_beyond(edge: Edge, run_id: int, finished_at: Micros) -> bool:
    too_many = edge.run_id is not None and run_id <= edge.run_id
    return too_many or (edge.before is not None and finished_at < edge.before)


def _may_follow(edge: Edge, row: Row) -> bool:
    """Return whether this run or a later one can be beyond the edge: no run ends before it was queued."""
    if edge.run_id is not None and row.id <= edge.run_id:
        return True
    return edge.before is not None and not edge.before <= row.queued_at <= edge.now
