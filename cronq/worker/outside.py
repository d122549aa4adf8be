"""Named locks for a command outside: `cronq lock NAME -- COMMAND`.

It stands in one line with the runs that need the same locks, and holds a lock file that its command
inherits: as long as either lives, the locks are taken, and when both are dead, whoever looks next frees them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from cronq import clock, doorbell
from cronq.errors import ExitCode
from cronq.model import AttemptKey
from cronq.store import Held, Store
from cronq.store.location import Place
from cronq.worker import endings, liveness
from cronq.worker.files import make_folder

LOOK_AGAIN_S = 0.05
"""How often one who waits looks whether its turn has come."""
LOOK_AT_OTHERS_S = 1.0
"""How often it looks whether those in its way live, and go on."""
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Outside:
    """A process that takes named locks; known to the store by the name of its lock file."""

    def __init__(self, place: Place, store: Store, has_scheduler: Callable[[], bool]) -> None:
        """Describe it.

        Args:
            place: Of the store.
            store: Not used by anybody else in this process.
            has_scheduler: Whether runs that stand in line before us will be started by somebody.
        """
        self._place = place
        self._store = store
        self._has_scheduler = has_scheduler
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._lock_fd = -1
        self._look_at_others = 0.0
        self._seen: tuple[int, bool] | None = None

    @contextmanager
    def in_line(self, names: Sequence[str], command: str) -> Iterator[None]:
        """Stand in line for locks, all of them or none; at the end of the block they are given back.

        Raises:
            NotFoundError: There is no such lock.
            StoreError: The store cannot be written.
            OSError: The lock file cannot be made.
        """
        make_folder(self._place.attempts)
        self._lock_fd = liveness.take_lock(liveness.outside_file(self._place, self._name))
        try:
            self._store.ask_locks(names, self._name, command, now=clock.now_us())
            try:
                yield
            finally:
                self._store.release_locks(self._name)
                doorbell.ring(self._place.bell)
        finally:
            liveness.remove_outside(self._place, self._name)
            os.close(self._lock_fd)

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for our turn; return whether it came in time."""
        ends = None if timeout_s is None else clock.monotonic() + timeout_s
        while not self._take():
            if ends is not None and clock.monotonic() >= ends:
                return False
            clock.sleep(LOOK_AGAIN_S)
        return True

    def run(self, argv: Sequence[str], environ: Mapping[str, str]) -> int:
        """Execute a command that inherits the lock file; return the status for the shell.

        Ctrl-C reaches it as it reaches us; other signals are passed on. Source: POSIX, Shell Command
        Language, 2.8.2.
        """
        process: subprocess.Popen[bytes] | None = None
        early: list[int] = []

        def pass_on(number: int, _frame: FrameType | None) -> None:
            if process is None:
                early.append(number)
            else:
                process.send_signal(number)

        # Before it is started: whoever is thrown out while that is done leaves a command behind that nobody
        # waits for, and the locks free. Handlers are not inherited over exec.
        before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
        before |= {number: signal.signal(number, _shrug) for number in (signal.SIGINT, signal.SIGQUIT)}
        try:
            process = subprocess.Popen(argv, env=environ, pass_fds=(self._lock_fd,))
            for number in early:
                process.send_signal(number)
            code = process.wait()
        except FileNotFoundError as error:
            sys.stderr.write(f"error: {endings.describe(error)}\n")
            return ExitCode.EXEC_NOT_FOUND
        except (OSError, ValueError) as error:
            sys.stderr.write(f"error: {endings.describe(error)}\n")
            return ExitCode.EXEC_CANNOT
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return 128 - code if code < 0 else code

    def _take(self) -> bool:
        has_scheduler = self._has_scheduler()
        # Asked first: what changes while we look is seen the next time.
        seen = self._store.data_version(), has_scheduler
        if clock.monotonic() >= self._look_at_others:
            self._look_at_others = clock.monotonic() + LOOK_AT_OTHERS_S
            self._clear_the_way()
        elif seen == self._seen:
            return False
        self._seen = seen
        # Where no scheduler lives to say so, what the ledger calls running may be dead.
        ignored = set() if has_scheduler else self._dead_attempts()
        return self._store.take_locks(
            self._name, ignored=ignored, runs_come_first=has_scheduler, now=clock.now_us()
        )

    def _clear_the_way(self) -> None:
        """Do for our sake what a scheduler does for the sake of its runs."""
        is_ahead = True
        for holder in self._store.outside_holders():
            if holder == self._name:
                is_ahead = False
            elif not liveness.is_outside_alive(self._place, holder):
                self._store.release_locks(holder)
            elif is_ahead and liveness.is_outside_stopped(holder):
                self._store.lose_place(holder, now=clock.now_us())

    def _dead_attempts(self) -> set[AttemptKey]:
        """Return those that the ledger calls running."""
        return {held.claim.key for held in self._store.held() if not self._is_alive(held)}

    def _is_alive(self, held: Held) -> bool:
        return liveness.is_worker_alive(self._place, held.attempt.worker) or liveness.is_attempt_alive(
            self._place, held.claim.key, held.attempt.worker, held.attempt.pid
        )


def _shrug(_number: int, _frame: object) -> None:
    """Let the command decide what Ctrl-C means."""


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Turn TERM and HUP into an orderly way out while there is no command to pass them on to."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            for number, handler in before.items():
                signal.signal(number, handler)
