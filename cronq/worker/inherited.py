"""A command whose worker was killed: the scheduler, its new parent, waits for it and learns how it ended."""

from __future__ import annotations

import os

from cronq.clock import Clock
from cronq.model import AttemptEnd, AttemptKey, Claim
from cronq.store.location import Place
from cronq.worker import endings, kernel, liveness
from cronq.worker.adoption import LOOK_AGAIN_S, SEARCH_AGAIN_S, begun_from_hint, carry_on_ladder
from cronq.worker.endings import Begun, Exit
from cronq.worker.oom import KillCounter
from cronq.worker.output import output_of, settled
from cronq.worker.supervision import Supervision
from cronq.worker.tree import ProcessTree
from cronq.worker.trust import Trust, Vigil


class InheritedCommand:
    """A command whose worker was killed, and whose parent is now this process."""

    def __init__(
        self,
        claim: Claim,
        begun: Begun | None,
        place: Place,
        clock: Clock,
        oom: KillCounter,
        trust: Trust | None = None,
    ) -> None:
        self._claim = claim
        self._begun = begun
        self._place = place
        self._clock = clock
        self._oom = oom
        started = clock.monotonic() if begun is None else begun.monotonic
        definition = claim.definition
        self._watch = Supervision(
            started, timeout_s=definition.timeout_s, kill_after_s=definition.kill_after_s
        )
        self._vigil = None if trust is None else Vigil(trust, self._watch)
        self._tree: ProcessTree | None = None
        self._rest: ProcessTree | None = None
        self._pid = 0
        self._pidfd: int | None = None
        self._exit: Exit | None = None
        self._look_at = 0.0
        self._search_until = clock.monotonic() + LOOK_AGAIN_S
        self._output = output_of(claim, place, clock.monotonic())

    @property
    def key(self) -> AttemptKey:
        """The attempt."""
        return self._claim.key

    @property
    def worker(self) -> str:
        """The worker that was killed."""
        return self._claim.worker

    @property
    def pid(self) -> int:
        """The command; 0 while it has not been found."""
        return self._pid

    def fds(self) -> list[int]:
        """Return the descriptor that tells the command's end."""
        return [] if self._pidfd is None else [self._pidfd]

    def deadline(self) -> float | None:
        """Return when to step it because of time."""
        # The leftovers of the command are not watched one by one.
        is_watched = self._tree is not None and self._pidfd is not None and self._exit is None
        vigil_at = None if self._vigil is None else self._vigil.look_at
        look_at = None if is_watched else self._look_at
        times = (self._watch.deadline(), self._output.look_at, vigil_at, look_at)
        return min((at for at in times if at is not None), default=None)

    def step(self) -> AttemptEnd | None:
        """Find the command, wait for it, carry on its ladder; return its end when nothing of it is left."""
        now = self._clock.monotonic()
        self._look_at = now + SEARCH_AGAIN_S
        self._output.look(now)
        if self._vigil is not None:
            self._vigil.look(now)
        end = self._step(now)
        return None if end is None else settled(end, self._output)

    def _step(self, now: float) -> AttemptEnd | None:
        if self._tree is None and not self._find():
            return self._step_unseen(now)
        self._wait()
        if self._tree is None:
            return self._step_unseen(now)
        if self._exit is not None:
            self._tree.is_led = False
            self._watch.exited(now, leftovers=self._tree.has_members())
        while (order := self._watch.step(now)) is not None:
            self._tree.carry_out(order)
        if not self._watch.is_over:
            return None
        survivors = self._tree.names() if self._watch.gave_up else ()
        begun = self._known_start()
        exit_ = self._exit or Exit(self._clock.now())
        verdict = self._watch.verdict
        if verdict is None:
            codes = self._claim.definition.success_codes
            verdict = endings.verdict_of_oom(exit_, codes, self._oom.has_risen)
        return endings.end_of_process(self._claim, begun, exit_, verdict=verdict, survivors=survivors)

    def stop(self, reason: str, *, at_once: bool) -> None:
        """Begin the ladder, or go to its last step."""
        (self._watch.kill if at_once else self._watch.stop)(reason, self._clock.monotonic())

    def drop(self, fd: int) -> None:
        """Take note that the command has ended."""
        os.close(fd)
        self._pidfd = None
        self._look_at = 0.0

    def close(self) -> None:
        """Let go of it."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def _find(self) -> bool:
        hint = liveness.attempt_hint(self._place, self.key, self.worker)
        # The one that is named comes first: the kernel's list of children may leave some out while others
        # come and go. Source: proc_tid_children(5), "reliable only if all are stopped or frozen".
        named = [] if hint is None else [hint.pid]
        for pid in (*named, *kernel.children_of(os.getpid())):
            info = kernel.process_info(pid)
            if info is None or info.parent != os.getpid():
                continue
            hinted = hint is not None and (pid, info.start_ticks) == (hint.pid, hint.start_ticks)
            # A zombie has no environment any more, so that one is known by the hint alone.
            if hinted or (info.session == pid and self._is_ours(pid)):
                self._take(pid)
                if self._begun is None and hint is not None:
                    self._begun = begun_from_hint(hint, self._clock)
                return True
        return False

    def _take(self, pid: int) -> None:
        self._pid = pid
        self._pidfd = kernel.open_pidfd(pid)
        self._tree = ProcessTree(pid, self._members)

    def _members(self) -> list[int]:
        leader = self._leader()
        found: list[int] = []
        for child in kernel.children_of(os.getpid()):
            info = kernel.process_info(child)
            if child == leader or (info is not None and (info.session == leader or self._is_ours(child))):
                found += [child, *kernel.descendants_of(child)]
        return found

    def _is_ours(self, pid: int) -> bool:
        return liveness.is_of_attempt(self._place, self.key, self.worker, pid)

    def _wait(self) -> None:
        if self._exit is not None:
            return
        try:
            pid, status, rusage = os.wait4(self._pid, os.WNOHANG)
        except ChildProcessError:
            # Somebody else waited for it.
            self._tree = None
            return
        if pid:
            self._exit = endings.exit_from_status(
                status,
                rusage,
                self._known_start(),
                at=self._clock.now(),
                monotonic=self._clock.monotonic(),
            )

    def _known_start(self) -> Begun:
        return self._begun or Begun(self._claim.claimed_at, self._clock.monotonic(), self._pid)

    def _leader(self) -> int:
        """Return the command, found or not; -1 if nobody knows it."""
        return self._pid or (-1 if self._begun is None else self._begun.pid)

    def _step_unseen(self, now: float) -> AttemptEnd | None:
        """Carry on the ladder of a command that is not to be found; return its end when nothing of it lives.

        It is between fork and exec; or it has ended and left something; or the kernel gives us no orphans.
        """
        if now >= self._search_until:
            self._look_at = now + LOOK_AGAIN_S
        if liveness.is_attempt_alive(self._place, self.key, self.worker):
            hint = liveness.attempt_hint(self._place, self.key, self.worker)
            if self._begun is None and hint is not None:
                self._begun = begun_from_hint(hint, self._clock)
            if self._rest is None and self._begun is not None:
                self._rest = ProcessTree(self._begun.pid, self._members)
            if self._rest is not None:
                carry_on_ladder(self._watch, self._rest, hint, now)
            if not self._watch.gave_up:
                return None
        at = self._clock.now()
        if self._watch.verdict is None or self._begun is None:
            return endings.end_unseen(self._claim, "worker killed", now=at, begun=self._begun)
        survivors = self._rest.names() if self._rest is not None and self._watch.gave_up else ()
        return endings.end_of_process(
            self._claim, self._begun, Exit(at), verdict=self._watch.verdict, survivors=survivors
        )
