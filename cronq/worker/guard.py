"""The bound of a worker: it stops its attempt itself, and if it does not, it is killed from outside.

A callable may catch everything or never come back to Python, and any worker may hang. A command whose worker
was killed is adopted, and its ladder begins anew.
"""

from __future__ import annotations

from cronq.model import CommandKind, Definition, Outcome
from cronq.worker.supervision import GIVE_UP_S, LEFTOVER_GRACE_S, Verdict

_SLACK_S = 0.5
"""Time for the worker to tell us, once it should have stopped its attempt."""


class WorkerGuard:
    """When to kill a worker, and what the outcome of its callable is then. Instants are monotonic seconds."""

    def __init__(self, started: float, definition: Definition) -> None:
        self._slack_s = _SLACK_S
        if definition.command.kind is not CommandKind.PYTHON:
            self._slack_s += LEFTOVER_GRACE_S + GIVE_UP_S
        self._kill_after_s = definition.kill_after_s
        self._kill_at: float | None = None
        self._verdict: Verdict | None = None
        if definition.timeout_s is not None:
            self._kill_at = started + definition.timeout_s + definition.kill_after_s + self._slack_s
            self._verdict = Verdict(Outcome.TIMEOUT, f"timeout {definition.timeout_s:g}s")
        self._was_killed = False
        self._was_stopped = False

    def deadline(self) -> float | None:
        """Return when to ask `is_over` again."""
        return None if self._was_killed else self._kill_at

    def stop(self, reason: str, now: float, *, at_once: bool = False) -> None:
        """Take note that it was asked to stop."""
        grace_s = 0.0 if at_once else self._kill_after_s
        kill_at = now + grace_s + self._slack_s
        if self._kill_at is None or kill_at < self._kill_at:
            self._kill_at = kill_at
        if not self._was_stopped:
            self._verdict = Verdict(Outcome.CANCELLED, reason)
            self._was_stopped = True

    def is_over(self, now: float) -> bool:
        """Return, once, whether the worker must be killed now."""
        if self._was_killed or self._kill_at is None or now < self._kill_at:
            return False
        self._was_killed = True
        return True

    def verdict(self) -> Verdict | None:
        """Return what the outcome is if the worker died: None unless we did it, or were about to."""
        return self._verdict if self._was_killed or self._was_stopped else None
