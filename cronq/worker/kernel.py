"""Facts that only the kernel knows: which boot this is, who is whose child, who has a pid now.

Linux answers all; elsewhere each function says what is lost. Source: proc(5), prctl(2), pidfd_open(2).
"""

from __future__ import annotations

import errno
import functools
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
HAS_PROC = Path("/proc/self/stat").exists()
"""Whether processes can be looked at; without it a tree is only its process group."""
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """A process as /proc/<pid>/stat shows it.

    Attributes:
        state: One letter; `Z` is a zombie.
        start_ticks: Clock ticks between boot and its start: with the pid and the boot id, its identity.
    """

    pid: int
    name: str
    state: str
    parent: int
    group: int
    session: int
    start_ticks: int


@functools.cache
def boot_id() -> str:
    """Return a text that is the same until the machine boots again.

    Elsewhere than on Linux and macOS it is constant: then a reboot is noticed only by the locks, which are
    free afterwards.
    """
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return _sysctl("kern.bootsessionuuid") or "unknown"


def _sysctl(name: str) -> str | None:
    """Return a text fact of macOS, by sysctlbyname(3)."""
    import ctypes

    try:
        query = ctypes.CDLL(None).sysctlbyname
    except AttributeError:
        return None
    buffer = ctypes.create_string_buffer(128)
    size = ctypes.c_size_t(len(buffer))
    if query(name.encode(), buffer, ctypes.byref(size), None, 0) != 0:
        return None
    return buffer.value.decode("ascii", "replace")


def process_info(pid: int) -> ProcessInfo | None:
    """Return what is known of a process, zombies included; None if there is none, or no /proc."""
    data = _read(f"/proc/{pid}/stat")
    if data is None:
        return None
    # The name stands in parentheses and may itself contain spaces and parentheses.
    head, _, tail = data.rpartition(b")")
    values = tail.split()
    name = head.partition(b"(")[2].decode("utf-8", "replace")
    state = values[0].decode("ascii")
    return ProcessInfo(pid, name, state, int(values[1]), int(values[2]), int(values[3]), int(values[19]))


def start_ticks(pid: int) -> int | None:
    """Return the start of a process; None if there is none, or where there is no /proc.

    Without it a pid that was reused cannot be told from the process that had it before, so nothing is
    signalled by a remembered pid.
    """
    info = process_info(pid)
    return None if info is None else info.start_ticks


def boot_ns() -> int | None:
    """Return the time since the boot by which the kernel notes starts; None where that is not certain.

    A library that fakes the time for its process (libfaketime) may fake this clock, too.
    """
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) if _has_boot_clock() else None


@functools.cache
def _has_boot_clock() -> bool:
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return False
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    uptime = _read("/proc/uptime")
    after = time.clock_gettime(time.CLOCK_BOOTTIME)
    if uptime is None:
        return False
    return before - _TICK_S <= float(uptime.split()[0]) <= after + _TICK_S


def start_ticks_since(pid: int, began_ns: int | None) -> int | None:
    """Return the start of a process that was started since an instant of `boot_ns`.

    If no tick has passed since, it can be no other one (proc_pid_stat(5), starttime), and need not be read:
    that waits for the process to be through its exec.
    """
    if began_ns is not None:
        first = began_ns // _TICK_NS
        if first == (boot_ns() or 0) // _TICK_NS:
            return first
    return start_ticks(pid)


def exists(pid: int) -> bool:
    """Return whether there is such a process, zombies included, without opening anything."""
    return Path(f"/proc/{pid}").exists()


def environment_of(pid: int) -> dict[bytes, bytes]:
    """Return the environment that a process was started with; empty for zombies and without /proc."""
    data = _read(f"/proc/{pid}/environ") or b""
    pairs = (entry.partition(b"=") for entry in data.split(b"\0"))
    return {name: value for name, separator, value in pairs if separator}


def holds_file(pid: int, path: str) -> bool:
    """Return whether a process has a file open; False without /proc."""
    try:
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
    for descriptor in descriptors:
        try:
            if os.readlink(descriptor) == path:  # noqa: PTH115 - text against text
                return True
        except OSError:
            continue
    return False


def children_of(pid: int) -> list[int]:
    """Return the direct children of a process, zombies included; empty without /proc.

    A list read while children come and go may miss one, so callers that must reach all repeat it.
    """
    listed = _read(f"/proc/{pid}/task/{pid}/children")
    if listed is None:
        # A kernel without CONFIG_PROC_CHILDREN, or no such process.
        return [info.pid for info in all_processes() if info.parent == pid]
    found = [int(word) for word in listed.split()]
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - for each attempt
    except OSError:
        return found
    for thread in threads:
        if thread != str(pid):
            listed = _read(f"/proc/{pid}/task/{thread}/children") or b""
            found += [int(word) for word in listed.split()]
    return found


def all_processes() -> Iterator[ProcessInfo]:
    """Yield every process of the machine that can be seen; nothing without /proc."""
    try:
        names = [entry.name for entry in Path("/proc").iterdir()]
    except OSError:
        return
    for name in names:
        if name.isdecimal() and (info := process_info(int(name))) is not None:
            yield info


def descendants_of(pid: int) -> list[int]:
    """Return all processes below one, parents before children, zombies included; empty without /proc."""
    found: list[int] = []
    pending = children_of(pid)
    while pending:
        child = pending.pop()
        if child not in found:
            found.append(child)
            pending += children_of(child)
    return found


def reap_children() -> bool:
    """Wait for all children that have ended, whoever they were; return whether any is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def become_subreaper(*, is_one: bool = True) -> bool:
    """Let orphaned descendants become children of this process; return whether the kernel can do that.

    Not `is_one`: let those that come be somebody else's again.

    Elsewhere than on Linux they go to pid 1: a command whose worker was killed ends `abandoned`, and a
    process that left its job's process group is out of reach.
    """
    if sys.platform != "linux":
        return False
    import ctypes

    return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(is_one), 0, 0, 0) == 0)


def processors() -> int:
    """Return how many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def open_pidfd(pid: int) -> int | None:
    """Return a descriptor that becomes readable when the process ends; None where there is none.

    Without it the end of processes that are not our children is noticed by looking once a second.
    """
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def send_signal(pid: int, number: int, expected_ticks: int | None = None) -> bool:
    """Send a signal, if the process is (still) the one meant; return whether it was sent.

    Args:
        pid: A child that was not waited for yet, or any process with `expected_ticks`.
        number: The signal.
        expected_ticks: Its start. The pidfd is opened before the start is compared, so a pid that is
            reused in between is not hit.
    """
    if pid <= 0:
        return False  # kill(2): 0 is our own group, -1 is everybody
    try:
        if expected_ticks is None or sys.platform != "linux":
            os.kill(pid, number)
            return True
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if start_ticks(pid) != expected_ticks:
            return False
        signal.pidfd_send_signal(pidfd, number)
    except OSError:
        return False
    finally:
        os.close(pidfd)
    return True


def send_group_signal(group: int, number: int) -> bool:
    """Send a signal to a process group; return whether it has a member that could be reached."""
    if group <= 1:
        return False  # killpg(2): 0 is our own group, 1 is everybody
    try:
        os.killpg(group, number)
    except OSError:
        return False
    return True


def keep_spare() -> None:
    """Keep a descriptor back, so that processes can be looked at when there is no other left.

    Without it, whoever ran out of descriptors would take a tree of processes for one that has ended.
    """
    if not _spare:
        _spare.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))


_spare: list[int] = []


def _open(path: str) -> int:
    """Open a file, if need be in the place of the spare descriptor, which `_read` then takes back."""
    # os.open and not Path: some of these are read for each attempt.
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.EMFILE or not _spare:
            raise
    os.close(_spare.pop())
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        keep_spare()
        raise


def _read(path: str) -> bytes | None:
    kept = len(_spare)
    try:
        fd = _open(path)
    except OSError:
        return None
    try:
        data = chunk = os.read(fd, 65536)
        while chunk:
            chunk = os.read(fd, 65536)
            data += chunk
    except OSError:
        return None
    finally:
        os.close(fd)
        if len(_spare) < kept:
            keep_spare()
    return data
