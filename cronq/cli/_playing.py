"""What the commands of simulated jobs do: how long they take, and which of them fail."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from cronq.cli._errors import raise_all
from cronq.errors import CronqError, JobNotFound, UsageError
from cronq.model import Claim, Definition, Outcome
from cronq.render.text import plain
from cronq.virtual.workers import Play, Played

DEFAULT_S = 60.0
"""What a job takes of which nothing is known."""
RECENT = 100
"""Newest successes of a job that its history consists of."""
HISTORY, WORST = "history", "worst"
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d+)?)%")
_ALL_HASHES = 0xFFFFFFFF
_MOST_S = 366 * 86_400.0

History = Callable[[str], Sequence[float]]
"""Gives the durations of a job's newest successes, in seconds; empty if there is none."""


class Durations(NamedTuple):
    """How long jobs take, and where that is from.

    Attributes:
        seconds: By job.
        source: By job: `given`, `history`, `worst` or `default`.
        default_s: What the last of these are.
    """

    seconds: Mapping[str, float]
    source: Mapping[str, str]
    default_s: float

    def of_source(self, source: str) -> int:
        """Return how many jobs have their duration from there."""
        return sum(one == source for one in self.source.values())


def read_durations(texts: Sequence[str], names: Collection[str], history: History) -> Durations:
    """Return how long each job takes.

    Args:
        texts: Each `history` (the median of the newest successes), `worst` (the longest of them), `JOB=5m`,
            or `5m` for all others. Without `history` or `worst`, the history counts.
        names: The jobs.
        history: Asked of those whose duration is not given.

    Raises:
        UsageError: Naming all that is wrong.
    """
    problems: list[CronqError] = []
    given: dict[str, float] = {}
    modes: list[str] = []
    default_s = None
    for text in texts:
        name, equals, value = text.rpartition("=")
        try:
            if equals:
                given[_known(name, names, "--durations")] = _seconds(value)
            elif value in {HISTORY, WORST}:
                modes.append(value)
            elif default_s is None:
                default_s = _seconds(value)
            else:
                raise UsageError("--durations: two durations for all others", hint="give one of them")
        except CronqError as error:
            problems.append(error)
    if len(set(modes)) > 1:
        problems.append(UsageError("--durations: `history` and `worst` contradict one another"))
    raise_all(problems)
    seconds, source = {}, {}
    for name in names:
        if name in given:
            seconds[name], source[name] = given[name], "given"
        elif past := sorted(history(name)):
            mode = modes[0] if modes else HISTORY
            seconds[name] = past[-1] if mode == WORST else past[(len(past) - 1) // 2]
            source[name] = mode
        else:
            seconds[name] = DEFAULT_S if default_s is None else default_s
            source[name] = "default"
    return Durations(seconds, source, DEFAULT_S if default_s is None else default_s)


def read_failures(texts: Sequence[str], names: Collection[str]) -> dict[str, float]:
    """Return which share of each job's attempts fails; of `sync` all do, of `sync=10%` a tenth.

    Raises:
        UsageError: Naming all that is wrong.
    """
    problems: list[CronqError] = []
    shares: dict[str, float] = {}
    for text in texts:
        name, _, share = text.partition("=")
        try:
            shares[_known(name, names, "--fail")] = _share(share or "100%")
        except CronqError as error:
            problems.append(error)
    raise_all(problems)
    return shares


def play_of(seconds: Mapping[str, float], failing: Mapping[str, float]) -> Play:
    """Return what processes do; which of them fail is a matter of hashes, the same in each simulation."""
    fine = {name: Played(one) for name, one in seconds.items()}
    if not failing:
        return lambda claim: fine[claim.run.job]

    def play(claim: Claim) -> Played:
        played = fine[claim.run.job]
        share = failing.get(claim.run.job)
        if share is None:
            return played
        key = f"{claim.run.job} {claim.run.logical_at} {claim.run.attempt}"
        fails = zlib.crc32(key.encode()) < share * (_ALL_HASHES + 1)
        return played._replace(outcome=Outcome.FAILURE) if fails else played

    return play


def is_steady(
    definitions: Mapping[str, Definition], seconds: Mapping[str, float], failing: Mapping[str, float]
) -> bool:
    """Return whether each run of a job goes as the one before, and none is retried."""
    return not failing and not any(
        one.retries and one.timeout_s is not None and seconds[name] > one.timeout_s
        for name, one in definitions.items()
    )


def unknown_jobs(names: Sequence[str], known: Collection[str]) -> JobNotFound:
    """Return the error for jobs that there are not, with those that may be meant."""
    from difflib import get_close_matches

    near = [match for name in names for match in get_close_matches(name, sorted(known), 3, 0.6)]
    hint = "did you mean " + " or ".join(f"`{name}`" for name in dict.fromkeys(near)) + "?" if near else ""
    listed = ", ".join(f"`{plain(name)}`" for name in names)
    few = ", ".join(sorted(known)[:5])
    return JobNotFound(
        f"no job{'s' * (len(names) > 1)} named {listed}", hint=hint or (f"there are: {few}" if few else "")
    )


def _known(name: str, names: Collection[str], option: str) -> str:
    if name not in names:
        error = unknown_jobs([name], names)
        raise JobNotFound(f"{option}: {error.message}", hint=error.hint)
    return name


def _seconds(text: str) -> float:
    from cronq.schedule.duration import parse_duration

    seconds = parse_duration(text)
    if not 0 <= seconds <= _MOST_S:
        raise UsageError(f"--durations: `{plain(text)}` is more than a year")
    return seconds


def _share(text: str) -> float:
    found = _PERCENT.fullmatch(text)
    if found is None or float(found[1]) > 100:
        raise UsageError(f"--fail: `{plain(text[:40])}` is no share", hint="write JOB, or JOB=10%")
    return float(found[1]) / 100
