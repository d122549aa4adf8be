"""Starting worker processes through a fork server, which keeps a start cheap and forks no scheduler."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import context, forkserver, resource_tracker
from multiprocessing.connection import Connection, Pipe

from cronq.worker.messages import FromWorker, ToWorker, WorkerSetup
from cronq.worker.process import worker_main
from cronq.worker.tickets import TicketBox

PRELOADED = ("__main__", "cronq.worker.preload")
"""Imported once by the fork server, so that a worker begins with them."""


class WorkerProcess(context.ForkServerProcess):
    """A process that the scheduler does not wait for when it exits itself."""

    _is_released = False

    def release(self) -> None:
        """Let it outlive this process: at exit, `multiprocessing` joins every child that it knows."""
        self._is_released = True

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, unless it was released."""
        if not self._is_released:
            super().join(timeout)


def start_fork_server() -> None:
    """Start the fork server, if it does not run.

    Raises:
        OSError: There is no room for another process.
    """
    context.ForkServerContext().set_forkserver_preload(list(PRELOADED))
    with _safe_import_path(), _silent_stdout():
        forkserver.ensure_running()


def helper_pids() -> frozenset[int]:
    """Return the children that `multiprocessing` started for itself, and waits for itself."""
    # Not public, but stable since 3.4; without them the reaper would steal their exit status.
    server = getattr(forkserver, "_forkserver", None)
    tracker = getattr(resource_tracker, "_resource_tracker", None)
    pids = {getattr(server, "_forkserver_pid", None), getattr(tracker, "_pid", None)}
    return frozenset(pid for pid in pids if isinstance(pid, int))


def launch(setup: WorkerSetup, tickets: TicketBox) -> tuple[WorkerProcess, Connection[ToWorker, FromWorker]]:
    """Start a worker; return it with our end of its pipe.

    Raises:
        OSError: There is no room for another process, or the fork server died of it.
    """
    start_fork_server()
    ours: Connection[ToWorker, FromWorker]
    theirs: Connection[FromWorker, ToWorker]
    ours, theirs = Pipe()
    process = WorkerProcess(target=worker_main, args=(setup, theirs, tickets.reader), name=setup.name)
    try:
        process.start()
    except EOFError as error:
        ours.close()
        raise OSError("the fork server is gone") from error
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    return process, ours


@contextmanager
def _safe_import_path() -> Iterator[None]:
    """Let the fork server import what this process imports, and nothing from the working directory.

    It is started as `python -c`, which would put the working directory first: a `signal.py` that lies in
    a downloaded project would be executed. Source: PYTHONSAFEPATH, python(1).
    """
    changed = {
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if os.path.isabs(entry)),  # noqa: PTH117
    }
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _silent_stdout() -> Iterator[None]:
    """Keep our standard output from the fork server and its workers.

    They may outlive us by hours, and whoever reads our output through a pipe waits for its last holder.
    Standard error stays: a worker has no other place for its own troubles.
    """
    try:
        saved = os.dup(1)
    except OSError:
        yield  # it is closed already
        return
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null, 1)
    os.close(null)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
