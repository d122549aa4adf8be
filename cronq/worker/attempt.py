"""One attempt of a command: start it, watch over it, say how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

from cronq import clock
from cronq.model import AttemptEnd, AttemptStart, Claim, CommandKind
from cronq.store.location import Place
from cronq.worker import endings, kernel, liveness
from cronq.worker.confine import Confinement, ConfinementError, account_in, confinement_of, start_process
from cronq.worker.endings import Begun, Exit
from cronq.worker.environment import EnvironmentFileError, command_environment, secrets_in
from cronq.worker.files import open_input, open_log
from cronq.worker.inbox import Inbox
from cronq.worker.liveness import AttemptLocks, Hint
from cronq.worker.messages import Stop
from cronq.worker.oom import KillCounter
from cronq.worker.output import Output
from cronq.worker.supervision import Supervision
from cronq.worker.tree import ProcessTree

OnStart = Callable[[AttemptStart], None]


class CommandAttempt:
    """Executes a claim with an argument vector or a shell line.

    Attributes:
        output: What it prints.
    """

    def __init__(
        self,
        claim: Claim,
        place: Place,
        *,
        locks: AttemptLocks,
        inherited: Mapping[str, str],
        inbox: Inbox,
        oom: KillCounter,
    ) -> None:
        if claim.definition.command.kind is CommandKind.PYTHON:
            raise TypeError("a callable is not started as a process")
        self._claim = claim
        self._place = place
        self._locks = locks
        self._inherited = inherited
        self._inbox = inbox
        self._oom = oom
        self._exit: Exit | None = None
        self.output = Output(place.log_file(*claim.key), claim.definition.max_output, clock.monotonic())

    def execute(self, boot_id: str, on_start: OnStart) -> AttemptEnd:
        """Start the command and return how it ended, when nothing of it is left.

        Dies: The command goes on, its output too; the lock that it inherited is held until it ends.
        """
        claim = self._claim
        self._oom.mark()
        try:
            # Another user must not be able to write who is to be signalled.
            lock_fd = self._locks.take(claim.key, read_only=claim.definition.user is not None)
        except OSError as error:
            return endings.end_of_spawn_error(claim, error, now=clock.now_us())
        try:
            begun = self._start(lock_fd)
            if isinstance(begun, AttemptEnd):
                return begun
            ticks = kernel.start_ticks(begun.pid)
            hint = Hint(os.getpid(), begun.pid, ticks, boot_id, begun.monotonic)
            if claim.definition.user is None:
                liveness.write_hint(lock_fd, hint)
            else:
                liveness.write_attempt_hint(self._place, claim.key, hint)
            # After the hint: who has heard of the start can rely on finding the command by name.
            on_start(AttemptStart(claim.key, begun.pid, begun.at))
            return self._supervise(begun)
        finally:
            os.close(lock_fd)

    def _start(self, lock_fd: int) -> Begun | AttemptEnd:
        claim = self._claim
        now = clock.now_us()
        try:
            confinement = confinement_of(claim.definition)
            inherited = self._inherited if confinement is None else confinement.variables(self._inherited)
            environment = command_environment(claim, inherited, now, account_in(confinement))
            self.output.masker = secrets_in(claim.definition, environment)
            return self._spawn(environment, lock_fd, confinement)
        except ConfinementError as error:
            return endings.end_unstarted(claim, f"limit_error: {error}", now=now)
        except EnvironmentFileError as error:
            return endings.end_unstarted(claim, f"env_error: {error}", now=now)
        except (OSError, ValueError) as error:
            return endings.end_of_spawn_error(claim, error, now=now)
        except Exception as error:
            # It must not fell the worker: that would be a crash, for which a job may be run again at once.
            traceback.print_exc()
            return endings.end_of_internal_error(claim, error, now=now)

    def _spawn(self, environment: Mapping[str, str], lock_fd: int, confinement: Confinement | None) -> Begun:
        definition = self._claim.definition
        log_fd = open_log(self._place.log_file(*self._claim.key))
        stdin_fd = None
        try:
            if definition.stdin is not None:
                stdin_fd = open_input(Path(definition.cwd) / definition.stdin, account_in(confinement))
            process = start_process(
                definition,
                confinement,
                env=environment,
                stdin=subprocess.DEVNULL if stdin_fd is None else stdin_fd,
                output=log_fd,
                new_session=True,
                pass_fds=(lock_fd,),
            )
        finally:
            os.close(log_fd)
            if stdin_fd is not None:
                os.close(stdin_fd)
        # We wait for it ourselves, to learn what it used; Popen must not.
        process.returncode = 0
        return Begun(clock.now_us(), clock.monotonic(), process.pid)

    def _supervise(self, begun: Begun) -> AttemptEnd:
        definition = self._claim.definition
        own_pid = os.getpid()
        tree = ProcessTree(begun.pid, lambda: kernel.descendants_of(own_pid))
        watch = Supervision(
            begun.monotonic, timeout_s=definition.timeout_s, kill_after_s=definition.kill_after_s
        )
        while True:
            self._reap(begun)
            now = clock.monotonic()
            self.output.look(now)
            if self._exit is not None:
                tree.is_led = False
                watch.exited(now, leftovers=tree.has_members())
            order = watch.step(now)
            if watch.is_over:
                break
            if order is not None:
                tree.carry_out(order)
            else:
                self._listen(watch)
        exit_ = self._exit or Exit(clock.now_us())
        survivors = tree.names() if watch.gave_up else ()
        verdict = watch.verdict
        if verdict is None:
            verdict = endings.verdict_of_oom(exit_, definition.success_codes, self._oom.has_risen)
        return endings.end_of_process(self._claim, begun, exit_, verdict=verdict, survivors=survivors)

    def _reap(self, begun: Begun) -> None:
        """Wait for every child that has ended: the command, and orphans of its tree."""
        while True:
            try:
                pid, status, rusage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == begun.pid:
                self._exit = endings.exit_from_status(
                    status, rusage, begun, at=clock.now_us(), monotonic=clock.monotonic()
                )

    def _listen(self, watch: Supervision) -> None:
        """Sleep until the tree changes, something is due, or somebody wants it stopped."""
        times = [at for at in (watch.deadline(), self.output.look_at) if at is not None]
        messages = self._inbox.wait(min(times) - clock.monotonic() if times else None)
        now = clock.monotonic()
        for message in messages:
            if isinstance(message, Stop) and message.key == self._claim.key:
                (watch.kill if message.at_once else watch.stop)(message.reason, now)
        asked, self._inbox.asked = self._inbox.asked, None
        if asked == signal.SIGTERM:
            watch.stop("stopped by SIGTERM", now)
        elif asked == signal.SIGQUIT:
            watch.kill("stopped by SIGQUIT", now)
