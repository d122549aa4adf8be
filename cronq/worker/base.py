"""The pool as the scheduler's loop sees it, so that a simulated one can stand in its place."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from cronq.model import AttemptEnd, AttemptKey, AttemptStart, Claim, Micros
from cronq.store.base import Held


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker died, with this attempt in its hands or none."""

    worker: str
    key: AttemptKey | None
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that people should know about the pool itself."""

    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Recalled:
    """A claim that waited for a busy worker was taken back; nothing of it was started, nor will be."""

    key: AttemptKey


Report = AttemptStart | AttemptEnd | Lost | Trouble | Recalled
R = TypeVar("R", bound=Report)


def shifted(report: R, by: Micros) -> R:
    """Return a report of one clock in the time of another, which is ahead by so much."""
    if isinstance(report, AttemptStart):
        return report._replace(started_at=report.started_at + by)
    if isinstance(report, AttemptEnd):
        return report._replace(
            finished_at=report.finished_at + by,
            started_at=None if report.started_at is None else report.started_at + by,
            retry_at=None if report.retry_at is None else report.retry_at + by,
        )
    return report


class Workers(Protocol):
    """The pool as the loop sees it; `cronq.worker.pool.Pool`, or a simulated one."""

    @property
    def busy(self) -> int:
        """Attempts in the hands of workers, adopted ones included."""

    @property
    def capacity(self) -> int:
        """How many more claims could be given out, counting workers that would have to be started."""

    def idle(self, ended: Collection[AttemptKey] = ()) -> list[str]:
        """Return the workers that could take a claim once these ends are acknowledged."""

    def ahead(self) -> list[str]:
        """Return the busy workers that could hold a claim ready, and begin with it when they are free."""

    def recall(self) -> None:
        """Take back the claims that busy workers hold ready; each is reported as `Recalled`."""

    def want(self, count: int) -> None:
        """Start workers, if that is allowed, for this many runs that nobody can take now."""

    def assign(self, claim: Claim) -> None:
        """Give a claim to the worker it names, one of `idle` or of `ahead`."""

    def adopt(self, held: Held) -> bool:
        """Watch an attempt of an earlier scheduler until its end; False if nothing is known of it."""

    def tidy(self, held: Container[AttemptKey]) -> None:
        """Remove what dead attempts left behind, but for these, whose end is not in the ledger yet."""

    def has_outside(self, holder: str) -> bool:
        """Return whether a process outside that took, or waits for, named locks is alive."""

    def is_outside_stopped(self, holder: str) -> bool:
        """Return whether one that waits cannot take its turn, because it was stopped."""

    def stop(self, key: AttemptKey, reason: str) -> None:
        """Begin the kill ladder on an attempt; repeated calls change nothing."""

    def kill(self, key: AttemptKey) -> None:
        """Kill an attempt's processes at once."""

    def in_hand(self) -> list[AttemptKey]:
        """Return the attempts in hand."""

    def poll(self) -> Sequence[Report]:
        """Return what happened since the last call; never blocks."""

    def acknowledge(self, keys: Iterable[AttemptKey]) -> None:
        """Say that the ends of these attempts are in the ledger."""

    def deadline(self) -> float | None:
        """Return the monotonic time at which `poll` has to be called again."""
