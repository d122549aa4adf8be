"""From what the kernel said to the end of an attempt: outcome, reason, usage, and what follows."""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass

from cronq.model import SECOND, AttemptEnd, Claim, Micros, Outcome, Usage
from cronq.plan import after_attempt
from cronq.worker.supervision import Verdict

NOT_THE_JOBS_FAULT = frozenset(
    {
        errno.EAGAIN,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.EDQUOT,
    }
)
"""Errors by which the machine says that it has no room just now; the attempt costs the job no retry."""

REASON_LENGTH = 300
"""What an exception has to say is cut here."""
SHELL_SIGNAL_BASE = 128
"""A shell exits with this and the number of the signal that ended its last command."""
_MAX_DELAY_S = 30.0
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended, and when.

    Attributes:
        exit_code: None if a signal ended it, or if it is not known.
    """

    at: Micros
    exit_code: int | None = None
    signal: int | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt whose process was started: wall time, monotonic time, pid."""

    at: Micros
    monotonic: float
    pid: int


def exit_from_status(
    status: int, rusage: resource.struct_rusage, begun: Begun, *, at: Micros, monotonic: float
) -> Exit:
    """Return how a process ended, from what wait4(2) gave.

    Its peak memory is at least that of the process that forked it: the kernel carries the mark over exec.
    """
    code = os.waitstatus_to_exitcode(status)
    usage = Usage(
        max(0.0, monotonic - begun.monotonic), rusage.ru_utime, rusage.ru_stime, rusage.ru_maxrss * _RSS_UNIT
    )
    if code < 0:
        return Exit(at, None, -code, usage)
    return Exit(at, code, None, usage)


def end_of_process(
    claim: Claim,
    begun: Begun,
    exit_: Exit,
    *,
    verdict: Verdict | None = None,
    survivors: tuple[str, ...] = (),
) -> AttemptEnd:
    """Return the end of an attempt whose process ended with a known status.

    Args:
        claim: What was executed.
        begun: Its start.
        exit_: Its end.
        verdict: Set if it was stopped from outside; then the status does not matter.
        survivors: Processes that could not be killed.
    """
    if verdict is None:
        verdict = verdict_of_exit(exit_, claim.definition.success_codes)
        if verdict.outcome is Outcome.FAILURE and claim.definition.cpu_time_s is not None:
            verdict = _verdict_of_cpu_time(exit_, claim.definition.cpu_time_s) or verdict
    return _end(claim, verdict, begun, exit_, survivors)


def verdict_of_exit(exit_: Exit, success_codes: Collection[int]) -> Verdict:
    """Return what an exit status means for a job."""
    if exit_.signal is not None:
        return Verdict(Outcome.FAILURE, f"signal {exit_.signal} ({signal_name(exit_.signal)})")
    if exit_.exit_code in success_codes:
        return Verdict(Outcome.SUCCESS, "")
    return Verdict(Outcome.FAILURE, f"exit {exit_.exit_code}")


def _verdict_of_cpu_time(exit_: Exit, limit_s: float) -> Verdict | None:
    """Return that the processor time was used up, if the kernel ended it for that.

    It sends XCPU at the limit, which a shell reports as an exit code, and KILL a second later.
    Source: setrlimit(2), RLIMIT_CPU.
    """
    used_s = 0.0 if exit_.usage is None else exit_.usage.user_s + exit_.usage.system_s
    if exit_.signal == signal.SIGKILL and used_s > limit_s:
        # What its children used is in it, so this is not certain.
        return Verdict(Outcome.FAILURE, f"signal 9 (KILL), probably cpu time {limit_s:g}s used up")
    if exit_.signal == signal.SIGXCPU:
        return Verdict(Outcome.FAILURE, f"cpu time {limit_s:g}s used up (signal {exit_.signal})")
    if exit_.exit_code == SHELL_SIGNAL_BASE + signal.SIGXCPU:
        return Verdict(Outcome.FAILURE, f"cpu time {limit_s:g}s used up (exit {exit_.exit_code})")
    return None


def verdict_of_oom(
    exit_: Exit, success_codes: Collection[int], has_risen: Callable[[], bool]
) -> Verdict | None:
    """Return that the kernel killed a command for want of memory, if it died so and the kernel did.

    Args:
        exit_: How it ended. A shell whose child was killed reports that as an exit code.
        success_codes: The job's.
        has_risen: Asks the kernel's counter; only called if it matters.
    """
    if exit_.signal == signal.SIGKILL:
        how = f"signal {signal.SIGKILL:d}"
    elif exit_.exit_code == SHELL_SIGNAL_BASE + signal.SIGKILL and exit_.exit_code not in success_codes:
        how = f"exit {exit_.exit_code}"
    else:
        return None
    return Verdict(Outcome.FAILURE, f"out of memory: killed by the kernel ({how})") if has_risen() else None


def signal_name(number: int) -> str:
    """Return `KILL` for 9; the number itself for real-time signals."""
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)


def end_unstarted(claim: Claim, reason: str, *, now: Micros) -> AttemptEnd:
    """Return the end of an attempt that could not be started because of the job."""
    return _end(claim, Verdict(Outcome.FAILURE, reason), None, Exit(now), ())


def end_unseen(claim: Claim, reason: str, *, now: Micros, begun: Begun | None = None) -> AttemptEnd:
    """Return the end of an attempt that died without anybody to see how."""
    return _end(claim, Verdict(Outcome.ABANDONED, reason), begun, Exit(now), ())


def end_for_free(claim: Claim, outcome: Outcome, reason: str, *, now: Micros, delay_s: float) -> AttemptEnd:
    """Return the end of an attempt that never ran and costs no retry; the run waits for a moment."""
    if claim.run.stop_reason is not None:
        return AttemptEnd(claim.key, Outcome.CANCELLED, now, claim.run.stop_reason, counts=False)
    return AttemptEnd(claim.key, outcome, now, reason, retry_at=now + round(delay_s * SECOND), counts=False)


def end_of_spawn_error(claim: Claim, error: OSError | ValueError, *, now: Micros) -> AttemptEnd:
    """Return the end of an attempt whose process could not be made."""
    reason = f"spawn_error: {describe(error)}"
    if isinstance(error, OSError) and error.errno in NOT_THE_JOBS_FAULT:
        delay_s = free_delay_s(claim.run.attempt)
        return end_for_free(claim, Outcome.FAILURE, reason, now=now, delay_s=delay_s)
    return end_unstarted(claim, reason, now=now)


def end_of_internal_error(claim: Claim, error: Exception, *, now: Micros) -> AttemptEnd:
    """Return the end of an attempt that our own code could not start."""
    text = f"internal_error: {type(error).__name__}: {error}".rstrip(": ").partition("\n")[0]
    return end_unstarted(claim, text[:REASON_LENGTH], now=now)


def free_delay_s(attempt: int) -> float:
    """Return how long a run waits that was not to blame: 1 s at first, doubling to 30 s."""
    return float(min(_MAX_DELAY_S, 2.0 ** min(attempt - 1, 10)))


def describe(error: OSError | ValueError) -> str:
    """Return `ENOENT No such file or directory: rsync`."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    name = errno.errorcode.get(error.errno, str(error.errno))
    text = f"{name} {error.strerror or os.strerror(error.errno)}"
    if error.filename is None:
        return text
    return f"{text}: {os.fsdecode(error.filename)}"


def _end(
    claim: Claim, verdict: Verdict, begun: Begun | None, exit_: Exit, survivors: tuple[str, ...]
) -> AttemptEnd:
    retry = after_attempt(claim.definition, claim.run, verdict.outcome, exit_.at)
    return AttemptEnd(
        claim.key,
        verdict.outcome,
        exit_.at,
        verdict.reason,
        started_at=None if begun is None else begun.at,
        pid=None if begun is None else begun.pid,
        exit_code=exit_.exit_code,
        signal=exit_.signal,
        usage=exit_.usage,
        retry_at=retry.at,
        counts=retry.counts,
        survivors=survivors,
    )
