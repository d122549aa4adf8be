"""The kill ladder as a state machine: what to do to a process tree next, and when.

It reads no clock and sends no signal, so the worker uses it for its child, the scheduler for a command that
it adopted, and a test for nothing at all::

    RUNNING ──timeout, stop──▶ TERMINATING ──kill_after──▶ KILLING ──nothing left──▶ OVER
       │                            ▲                         │                        ▲
       └──exited, leftovers─────────┘                         └──GIVE_UP_S, survivors──┘
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from cronq.model import Outcome

LEFTOVER_GRACE_S = 1.0
"""Time that processes have which a command left behind when it ended by itself."""
KILL_AGAIN_S = 0.05
"""KILL is repeated: a tree may fork while it is being killed."""
GIVE_UP_S = 5.0
"""KILL works at once, but for a process that is stuck in the kernel; that one is named, not waited for."""


class Order(Enum):
    """What to do to the tree."""

    TERM_GROUP = auto()
    """TERM, then CONT (a stopped process cannot act on TERM), to the command's process group."""
    TERM_REST = auto()
    """The same to every process that is left and has not been told yet, in the group or not."""
    KILL_ALL = auto()
    """KILL to the group and to every process that left it."""


class Phase(Enum):
    """Where the ladder is."""

    RUNNING = auto()
    TERMINATING = auto()
    KILLING = auto()
    OVER = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the outcome is, whatever the exit status says."""

    outcome: Outcome
    reason: str


class Supervision:
    """One attempt under its time limit. All instants are monotonic seconds.

    Attributes:
        verdict: Set when the attempt was stopped from outside, by time or by request.
        gave_up: It is over although processes are left.
    """

    def __init__(self, started: float, *, timeout_s: float | None, kill_after_s: float) -> None:
        self._timeout_s = timeout_s
        self._kill_after_s = kill_after_s
        self._deadline = None if timeout_s is None else started + timeout_s
        self._give_up: float | None = None
        self._due: Order | None = None
        self._rest_told = False
        self.phase = Phase.RUNNING
        self.verdict: Verdict | None = None
        self.gave_up = False

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to do."""
        return self.phase is Phase.OVER

    def deadline(self) -> float | None:
        """Return when `step` must be called again; None: not because of time."""
        return float("-inf") if self._due is not None else self._deadline

    def stop(self, reason: str, now: float, outcome: Outcome = Outcome.CANCELLED) -> None:
        """Begin the ladder; without effect if it has begun."""
        if self.phase is Phase.RUNNING:
            self.verdict = Verdict(outcome, reason)
            self._terminate(now + self._kill_after_s, Order.TERM_GROUP)

    def distrust(self, reason: str, now: float, left_s: float) -> None:
        """Begin the ladder because the claim ends; with nothing left, go to its last step, begun or not.

        Args:
            reason: What the attempt's end says.
            now: Monotonic seconds.
            left_s: Until when the tree must be gone.
        """
        if self.phase is Phase.RUNNING:
            self.stop(reason, now, Outcome.ABANDONED)
            self._deadline = now + max(0.0, min(left_s, self._kill_after_s))
        if left_s <= 0 and self.phase is not Phase.OVER and self._give_up is None:
            self._kill(now)

    def kill(self, reason: str, now: float) -> None:
        """Go to the last step at once."""
        if self.phase in {Phase.RUNNING, Phase.TERMINATING}:
            if self.phase is Phase.RUNNING:
                self.verdict = Verdict(Outcome.CANCELLED, reason)
            self._kill(now)

    def exited(self, now: float, *, leftovers: bool) -> None:
        """Take note that the command has ended; again whenever its leftovers may be gone.

        Args:
            now: Monotonic seconds.
            leftovers: Whether processes of its tree are left.
        """
        if not leftovers:
            self.phase = Phase.OVER
            self._deadline = self._due = None
        elif self.phase is Phase.RUNNING:
            self._terminate(now + min(self._kill_after_s, LEFTOVER_GRACE_S), Order.TERM_REST)
        elif self.phase is Phase.TERMINATING and not self._rest_told:
            self._due = Order.TERM_REST
        self._rest_told = True

    def step(self, now: float) -> Order | None:
        """Return what to do now, if anything."""
        due, self._due = self._due, None
        if due is not None or self._deadline is None or now < self._deadline:
            return due
        if self.phase is Phase.RUNNING:
            self.stop(f"timeout {self._timeout_s:g}s", now, Outcome.TIMEOUT)
        elif self.phase is Phase.TERMINATING or self._give_up is None:
            self._kill(now)
        elif now >= self._give_up:
            self.phase = Phase.OVER
            self.gave_up = True
            self._deadline = None
        else:
            self._deadline = now + KILL_AGAIN_S
            return Order.KILL_ALL
        due, self._due = self._due, None
        return due

    def _terminate(self, deadline: float, order: Order) -> None:
        self.phase = Phase.TERMINATING
        self._deadline = deadline
        self._due = order

    def _kill(self, now: float) -> None:
        self.phase = Phase.KILLING
        self._give_up = now + GIVE_UP_S
        self._deadline = now + KILL_AGAIN_S
        self._due = Order.KILL_ALL
