"""One attempt of a Python callable, executed in the worker process itself."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from cronq import clock
from cronq.masking import NO_SECRETS
from cronq.model import AttemptEnd, AttemptKey, Claim, Outcome, Usage
from cronq.store.location import Place
from cronq.worker import endings, kernel
from cronq.worker.endings import Begun, Exit
from cronq.worker.environment import EnvironmentFileError, command_environment, secrets_in
from cronq.worker.files import open_input
from cronq.worker.inbox import Inbox
from cronq.worker.liveness import AttemptLock, Hint
from cronq.worker.messages import Stop
from cronq.worker.modules import ModuleCache
from cronq.worker.spool import Log, Spool
from cronq.worker.supervision import LEFTOVER_GRACE_S, Order, Supervision, Verdict
from cronq.worker.tree import ProcessTree
from cronq.worker.trust import LOST
from cronq.worker.warden import Warden

NUDGE_S = 0.25
"""How often a callable that is to stop gets the signal until it ends; the first that is heeded counts."""
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class AttemptStopped(BaseException):
    """Raised inside a callable to end it; no `Exception`, or it would be taken for an error of its own."""


class CallableAttempt:
    """Executes claims that name a function; one object for a worker's life.

    A function that catches everything, or never comes back to Python, cannot be stopped from here; then the
    pool kills the worker (`cronq.worker.guard`).

    Attributes:
        is_soiled: A callable left a thread behind, so this process should not execute another one.
        log: Of the last one.
        masker: Knows the secret values of the last one.
    """

    log: Log

    def __init__(
        self,
        place: Place,
        *,
        lock: AttemptLock,
        spool: Spool,
        inherited: Mapping[str, str],
        inbox: Inbox,
        warden: Warden | None = None,
    ) -> None:
        self._place = place
        self._lock = lock
        self._spool = spool
        self._environment = _Environment()
        self._inherited = inherited
        self._inbox = inbox
        self._warden = warden
        self._modules = ModuleCache()
        self._streams = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in (0, 1, 2)]
        self._pid = os.getpid()
        self._start_ticks = kernel.start_ticks(self._pid)
        self._is_armed = False
        self._timed_out = False
        self._exit_code: int | None = None
        self._request: Stop | None = None
        self.is_soiled = False
        self.masker = NO_SECRETS

    def execute(self, claim: Claim, boot_id: str) -> AttemptEnd:
        """Call the function and return how it ended.

        Dies: The callable dies with this process; the pool sees how.
        """
        self.masker = NO_SECRETS
        self.log = Log(self._place, claim.key, claim.worker)
        try:
            if self._warden is not None:
                self._warden.start()
            lock_fd = self._lock.take(claim.key)
        except OSError as error:
            return endings.end_of_spawn_error(claim, error, now=clock.now_us())
        try:
            begun = Begun(clock.now_us(), clock.monotonic(), self._pid)
            self._lock.name(
                Hint(begun.pid, begun.pid, self._start_ticks, boot_id, begun.monotonic, claim.key, begun.at)
            )
            with self._surroundings(claim, begun), self._watched(claim, begun):
                return self._execute(claim, begun)
        except EnvironmentFileError as error:
            return endings.end_unstarted(claim, f"env_error: {error}", now=clock.now_us())
        except (OSError, ValueError) as error:
            return endings.end_of_spawn_error(claim, error, now=clock.now_us())
        except Exception as error:
            traceback.print_exc()
            return endings.end_of_internal_error(claim, error, now=clock.now_us())
        finally:
            os.close(lock_fd)

    def _execute(self, claim: Claim, begun: Begun) -> AttemptEnd:
        before = _used()
        verdict = self._call(claim)
        self._inbox.retake_signals()
        user_s, system_s, max_rss = _used()
        duration_s = clock.monotonic() - begun.monotonic
        usage = Usage(duration_s, user_s - before[0], system_s - before[1], max_rss)
        exit_ = Exit(clock.now_us(), self._exit_code, None, usage)
        if verdict is None:
            verdict = endings.verdict_of_exit(exit_, claim.definition.success_codes)
        self.is_soiled = threading.active_count() > 1
        survivors = _end_children()
        return endings.end_of_process(claim, begun, exit_, verdict=verdict, survivors=survivors)

    @contextlib.contextmanager
    def _watched(self, claim: Claim, begun: Begun) -> Iterator[None]:
        """Let the warden watch over it, if there is one."""
        if self._warden is None:
            yield
            return
        self._warden.watch(claim, begun)
        try:
            yield
        finally:
            # A callable that closed what it does not own has closed the way to the warden, too.
            self.is_soiled = not self._warden.dismiss() or self.is_soiled

    # The call

    def _call(self, claim: Claim) -> Verdict | None:
        """Return what became of the call; None: its exit code says it."""
        self._exit_code = self._request = None
        self._timed_out = False
        try:
            try:
                return self._call_armed(claim)
            finally:
                self._is_armed = False
        except AttemptStopped:
            # Raised in the last instant, perhaps after an error of the callable's own.
            return self._stopped(claim)
        finally:
            if claim.definition.timeout_s is not None:
                signal.setitimer(signal.ITIMER_REAL, 0)
            self._inbox.interrupt = None
            self._inbox.asked = None

    def _call_armed(self, claim: Claim) -> Verdict | None:
        definition = claim.definition
        self._inbox.interrupt = self._interrupt
        self._is_armed = True
        if definition.timeout_s is not None:
            signal.signal(signal.SIGALRM, self._on_alarm)
            # Again and again: Python runs handlers between two steps of its own, so a signal that comes just
            # before the callable begins to sleep would be heeded only when it wakes.
            signal.setitimer(signal.ITIMER_REAL, max(definition.timeout_s, 1e-6), NUDGE_S)
        if self._inbox.asked is not None and self._is_to_stop(claim.key):
            raise AttemptStopped
        kind = "spawn_error"
        try:
            function = self._modules.load(definition.command.words[0], definition.cwd)
            args, kwargs = arguments(definition.command.args)
            kind = "exception"
            result = function(*args, **kwargs)
            refuse_coroutine(result)
        except AttemptStopped:
            raise
        except SystemExit as error:
            self._exit_code = exit_code_of(error)
            return None
        except BaseException as error:
            self._is_armed = False
            traceback.print_exc()
            text = f"{kind}: {type(error).__name__}: {error}".rstrip(": ").partition("\n")[0]
            return Verdict(Outcome.FAILURE, text[: endings.REASON_LENGTH])
        self._exit_code = 0
        return None

    def _interrupt(self) -> None:
        if self._is_armed:
            self._is_armed = False
            raise AttemptStopped

    def _on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_armed:
            self._timed_out = True
            self._interrupt()

    def _is_to_stop(self, key: AttemptKey) -> bool:
        """Return whether a signal that came before the call was about this attempt."""
        self._request = self._inbox.stop_for(key)
        return self._inbox.is_orphaned or self._request is not None

    def _stopped(self, claim: Claim) -> Verdict:
        if self._timed_out:
            return Verdict(Outcome.TIMEOUT, f"timeout {claim.definition.timeout_s:g}s")
        request = self._request or self._inbox.stop_for(claim.key)
        if request is None and self._warden is not None and self._warden.has_called():
            return Verdict(Outcome.ABANDONED, LOST)
        return Verdict(Outcome.CANCELLED, "stopped by SIGTERM" if request is None else request.reason)

    # What is around it

    @contextlib.contextmanager
    def _surroundings(self, claim: Claim, begun: Begun) -> Iterator[None]:
        """Give the callable its environment, directory and streams, and take back the latter two.

        The environment stays until the next one: nothing of the worker's own reads it.
        """
        definition = claim.definition
        environment = command_environment(claim, self._inherited, begun.at)
        self.masker = secrets_in(definition, environment)
        log_fd = self.log.open(self._spool)
        stdin_fd = -1
        try:
            if definition.stdin is not None:
                stdin_fd = open_input(Path(definition.cwd) / definition.stdin)
                os.dup2(stdin_fd, 0)
            os.chdir(definition.cwd)
            os.dup2(log_fd, 1)
            os.dup2(log_fd, 2)
            self._environment.apply(environment)
        except Exception:
            self._restore_streams(stdin_fd)
            raise
        finally:
            os.close(log_fd)
        stdin = sys.stdin
        if stdin_fd != -1:
            # `multiprocessing` has put a stream of its own there.
            sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
        path = list(sys.path)
        sys.path.insert(0, definition.cwd)
        try:
            yield
        finally:
            sys.path[:] = path
            sys.stdin = stdin
            _flush()
            self._restore_streams(stdin_fd)
            # Not to keep a file system busy that somebody wants to unmount.
            os.chdir("/")

    def _restore_streams(self, stdin_fd: int) -> None:
        os.dup2(self._streams[1], 1)
        os.dup2(self._streams[2], 2)
        if stdin_fd != -1:
            os.close(stdin_fd)
            os.dup2(self._streams[0], 0)


def arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Return positional and named arguments from a command's JSON text.

    Raises:
        ValueError: It is not JSON.
        TypeError: It is neither a list nor an object.
    """
    if not text:
        return [], {}
    value = json.loads(text)
    if isinstance(value, list):
        return value, {}
    if isinstance(value, dict):
        return [], value
    raise TypeError("the arguments are neither a list nor an object")


def exit_code_of(error: SystemExit) -> int:
    """Return what the interpreter would have exited with, and print what it would have printed."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{error.code}\n")
    return 1


def refuse_coroutine(result: object) -> None:
    """Raise TypeError if a callable returned something to be awaited: it did nothing yet, and never will."""
    if not hasattr(result, "__await__"):
        return
    close = getattr(result, "close", None)
    if callable(close):
        close()
    raise TypeError("it returned a coroutine, which nobody awaits")


class _Environment:
    """`os.environ`, changed no more than need be: most is the same for one callable as for the next."""

    def __init__(self) -> None:
        self._applied: dict[str, str] = {}
        self._raw: dict[bytes, bytes] = {}

    def apply(self, wanted: Mapping[str, str]) -> None:
        """Make it exactly this."""
        # To compare what is behind it takes a hundredth of the time that decoding all of it takes.
        raw = getattr(os.environ, "_data", None)
        current = self._applied if raw is not None and raw == self._raw else dict(os.environ)
        for name in current.keys() - wanted.keys():
            del os.environ[name]
        for name, value in wanted.items():
            if current.get(name) != value:
                os.environ[name] = value
        self._applied = dict(wanted)
        self._raw = {} if raw is None else dict(raw)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # A callable may have closed or replaced them.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _used() -> tuple[float, float, int]:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        own.ru_utime + children.ru_utime,
        own.ru_stime + children.ru_stime,
        own.ru_maxrss * _RSS_UNIT,
    )


def _end_children() -> tuple[str, ...]:
    """Stop what the callable left running, and return what could not be stopped."""
    if not kernel.reap_children():
        return ()
    own_pid = os.getpid()
    tree = ProcessTree(0, lambda: kernel.descendants_of(own_pid))
    now = clock.monotonic()
    watch = Supervision(now, timeout_s=None, kill_after_s=LEFTOVER_GRACE_S)
    while not watch.is_over:
        kernel.reap_children()
        now = clock.monotonic()
        watch.exited(now, leftovers=tree.has_members())
        order = watch.step(now)
        if order is not None:
            tree.carry_out(Order.TERM_REST if order is Order.TERM_GROUP else order)
        elif not watch.is_over:
            clock.sleep(0.002)
    return tree.names() if watch.gave_up else ()
