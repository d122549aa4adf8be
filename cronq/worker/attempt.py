"""One attempt of a command: start it, watch over it, say how it ended."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Mapping
from pathlib import Path

from cronq import clock
from cronq.model import AttemptEnd, Claim, CommandKind
from cronq.store.location import Place
from cronq.worker import endings, kernel
from cronq.worker.confine import Confinement, ConfinementError, account_in, confinement_of, start_process
from cronq.worker.endings import Begun, Exit
from cronq.worker.environment import EnvironmentFileError, command_environment, secrets_in
from cronq.worker.files import open_input
from cronq.worker.inbox import Inbox
from cronq.worker.liveness import AttemptLock, Hint
from cronq.worker.messages import Stop
from cronq.worker.oom import KillCounter
from cronq.worker.output import Output
from cronq.worker.spawning import spawn
from cronq.worker.spool import Log, Spool
from cronq.worker.supervision import Supervision
from cronq.worker.tree import ProcessTree
from cronq.worker.trust import Trust, Vigil


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
        lock: AttemptLock,
        spool: Spool,
        null: int,
        is_sealed: bool,
        inherited: Mapping[str, str],
        inbox: Inbox,
        oom: KillCounter,
        trust: Trust | None = None,
    ) -> None:
        """Describe it.

        Args:
            claim: What is executed.
            place: Where its output goes.
            lock: Of this worker.
            spool: The same.
            null: Descriptor of the null device.
            is_sealed: None of the descriptors of this process is inherited by what it starts.
            inherited: Variables that every command gets.
            inbox: Of this worker.
            oom: The same.
            trust: It is killed when this has ended.
        """
        if claim.definition.command.kind is CommandKind.PYTHON:
            raise TypeError("a callable is not started as a process")
        self._claim = claim
        self._lock = lock
        self._spool = spool
        self._log = Log(place, claim.key, claim.worker)
        self._null = null
        self._is_sealed = is_sealed
        self._inherited = inherited
        self._inbox = inbox
        self._oom = oom
        self._trust = trust
        self._vigil: Vigil | None = None
        self._exit: Exit | None = None
        self.output = Output(self._log, claim.definition.max_output, clock.monotonic())

    def execute(self, boot_id: str) -> AttemptEnd:
        """Start the command and return how it ended, when nothing of it is left.

        That it has begun is told by its lock file: most are over before anybody could have been told.

        Dies: The command goes on, its output too; the lock that it inherited is held until it ends.
        """
        claim = self._claim
        self._oom.mark(clock.monotonic())
        try:
            lock_fd = self._lock.take(claim.key)
        except OSError as error:
            return endings.end_of_spawn_error(claim, error, now=clock.now_us())
        try:
            since = kernel.boot_ns()
            begun = self._start(lock_fd)
            if isinstance(begun, AttemptEnd):
                return begun
            ticks = kernel.start_ticks_since(begun.pid, since)
            self._lock.name(
                Hint(os.getpid(), begun.pid, ticks, boot_id, begun.monotonic, claim.key, begun.at)
            )
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
        log_fd = self._log.open(self._spool)
        stdin_fd = None
        try:
            if definition.stdin is not None:
                stdin_fd = open_input(Path(definition.cwd) / definition.stdin, account_in(confinement))
            stdin = self._null if stdin_fd is None else stdin_fd
            if confinement is None and definition.umask is None and self._is_sealed:
                pid = spawn(definition, env=environment, stdin=stdin, output=log_fd, lock=lock_fd)
            else:
                process = start_process(
                    definition,
                    confinement,
                    env=environment,
                    stdin=stdin,
                    output=log_fd,
                    new_session=True,
                    pass_fds=(lock_fd,),
                )
                # We wait for it ourselves, to learn what it used; Popen must not.
                process.returncode = 0
                pid = process.pid
        finally:
            os.close(log_fd)
            if stdin_fd is not None:
                os.close(stdin_fd)
        return Begun(clock.now_us(), clock.monotonic(), pid)

    def _supervise(self, begun: Begun) -> AttemptEnd:
        definition = self._claim.definition
        own_pid = os.getpid()
        tree = ProcessTree(begun.pid, lambda: kernel.descendants_of(own_pid))
        watch = Supervision(
            begun.monotonic, timeout_s=definition.timeout_s, kill_after_s=definition.kill_after_s
        )
        if self._trust is not None:
            self._vigil = Vigil(self._trust, watch)
        while True:
            has_children = self._reap(begun)
            now = clock.monotonic()
            self.output.look(now)
            if self._vigil is not None:
                self._vigil.look(now)
            if self._exit is not None:
                tree.is_led = False
                # What left the tree of the command is our child, so without children nothing is left.
                leftovers = (has_children or not kernel.HAS_PROC) and tree.has_members()
                watch.exited(now, leftovers=leftovers)
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

    def _reap(self, begun: Begun) -> bool:
        """Wait for each child that has ended: the command, orphans of its tree; return if any is left."""
        while True:
            try:
                pid, status, rusage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == begun.pid:
                self._exit = endings.exit_from_status(
                    status, rusage, begun, at=clock.now_us(), monotonic=clock.monotonic()
                )

    def _listen(self, watch: Supervision) -> None:
        """Sleep until the tree changes, something is due, or somebody wants it stopped."""
        look_at = None if self._vigil is None else self._vigil.look_at
        times = [at for at in (watch.deadline(), self.output.look_at, look_at) if at is not None]
        messages = self._inbox.wait(min(times) - clock.monotonic() if times else None)
        now = clock.monotonic()
        for message in messages:
            if not isinstance(message, Stop):
                self._inbox.put_by(message)
            elif message.key == self._claim.key:
                (watch.kill if message.at_once else watch.stop)(message.reason, now)
        asked, self._inbox.asked = self._inbox.asked, None
        if asked == signal.SIGTERM:
            watch.stop("stopped by SIGTERM", now)
        elif asked == signal.SIGQUIT:
            watch.kill("stopped by SIGQUIT", now)
