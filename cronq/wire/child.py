"""The child of a node that runs Procrastinate's worker; started by `cronq.wire.receiver` alone.

It holds no truth, so it never tries to mend anything: while the database cannot be reached at its start it
waits, and whatever goes wrong after that ends it at once, for the receiver to start another one. What it held
then stays `doing`, until its heartbeat is old enough for somebody to bury it. Left to itself, Procrastinate's
worker would stop fetching, and wait for all messages in hand (worker.py, 3.10.0: `_monitor_side_tasks`,
`_shutdown`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from cronq.store.postgres.address import PATIENCE
from cronq.store.postgres.messages import TASK
from cronq.store.postgres.procrastinate_schema import quoted, search_path_option
from cronq.wire.lines import Permit, Setup, Splitter

if TYPE_CHECKING:
    from procrastinate import App, JobContext, PsycopgConnector
    from procrastinate.manager import JobManager
    from psycopg_pool import AsyncConnectionPool

_T = TypeVar("_T")
_AGAIN_S = 1.0
"""How often a database that cannot be reached is tried again."""
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Serve the receiver at standard input; return the exit code.

    Dies: The messages in hand stay `doing`.
    """
    # Whoever stops the node by a signal to all its processes means the node: it says when to leave.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _die_with_parent()
    parent = socket.socket(fileno=os.dup(0))
    # All that is worth saying is said to the parent.
    logging.getLogger().addHandler(logging.NullHandler())
    line = b""
    while not line.endswith(b"\n"):
        data = parent.recv(1)  # not a byte of what comes after it
        if not data:
            return 0
        line += data
    return asyncio.run(_Child(parent, Setup.decode(line)).run())


class _Child:
    def __init__(self, parent: socket.socket, setup: Setup) -> None:
        self._parent = parent
        self._setup = setup
        self._lines = Splitter()
        self._held: dict[int, asyncio.Future[None]] = {}
        self._worker: asyncio.Task[None] | None = None
        self._told = ""
        self._secrets: list[str] = []
        self._is_ready = False
        self.is_stopping = False
        self.listens = setup.listen
        self.look_again: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._most = setup.slots
        self._taken = 0

    async def run(self) -> int:
        asyncio.get_running_loop().add_reader(self._parent, self._read)
        try:
            parameters = self._parameters()
            await self._reach(parameters)
            await self._serve(parameters)
        except Exception as error:
            self.leave(error)
        return 0

    def _parameters(self) -> dict[str, Any]:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict

        try:
            given = conninfo_to_dict(self._setup.conninfo)
        except ProgrammingError:
            # Its text quotes what it could not read, which may be the password.
            self.leave(ValueError("the connection string cannot be read"))
        self._secrets = [str(given[name]) for name in ("password", "sslpassword") if given.get(name)]
        if not self._setup.listen:
            # Behind a pooler, the next transaction may be on another connection. Source: psycopg, prepare.
            return {**PATIENCE, **given, "prepare_threshold": None}
        options = f"{given.get('options') or ''} {search_path_option(self._setup.schema)}".strip()
        return {**PATIENCE, **given, "options": options}

    async def _reach(self, parameters: dict[str, Any]) -> None:
        """Wait until the database can be reached: a pool would try ever less often."""
        import psycopg

        while not self.is_stopping:
            try:
                async with await psycopg.AsyncConnection.connect(**parameters):
                    return
            except psycopg.OperationalError as error:
                self._tell_trouble(error)
                await asyncio.sleep(_AGAIN_S)

    async def _serve(self, parameters: dict[str, Any]) -> None:
        from procrastinate import App

        # One connection fetches, and one is there for messages that are done meanwhile.
        pool = {"pool_factory": _pool_for_transactions(self._setup.schema)} if not self._setup.listen else {}
        connector = _listening_connector(
            kwargs=parameters,
            min_size=1,
            max_size=2,
            max_idle=30.0,
            timeout=10.0,
            reconnect_timeout=5.0,
            **pool,
        )
        app = App(connector=connector)
        app.job_manager = _watched_manager(app, self)

        @app.task(name=TASK, pass_context=True)
        async def hold(context: JobContext, run_id: int) -> None:
            await self._hold(context, run_id)

        async with app.open_async():
            if not self.is_stopping:
                self._worker = asyncio.create_task(self._work(app))
                with contextlib.suppress(asyncio.CancelledError):
                    await self._worker
        if not self.is_stopping:
            self.leave(RuntimeError("Procrastinate's worker has ended"))

    async def _work(self, app: App) -> None:
        setup = self._setup
        # All queues are None, which the annotation has forgotten (app.py, 3.10.0); a tuple would be a record.
        queues: Any = None if setup.queues is None else list(setup.queues)
        await app.run_worker_async(
            queues=queues,
            name="cronq",
            concurrency=setup.slots,
            wait=True,
            listen_notify=setup.listen,
            fetch_job_polling_interval=setup.poll_s,
            abort_job_polling_interval=3600.0,  # nobody aborts messages
            delete_jobs="always",
            install_signal_handlers=False,
            update_heartbeat_interval=setup.heartbeat_s,
            stalled_worker_timeout=setup.stalled_s,
        )

    @property
    def has_room(self) -> bool:
        """Whether one more message may be held."""
        return self._taken < self._most

    def take(self) -> None:
        """Take note that one was fetched, which will be held."""
        self._taken += 1

    async def _hold(self, context: JobContext, run_id: int) -> None:
        message = context.job.id
        assert message is not None
        done = self._held[message] = asyncio.get_running_loop().create_future()
        self.say(Permit(message, run_id, context.job.queue).encode())
        try:
            await done
        finally:
            del self._held[message]
            self._taken -= 1

    # To and from the parent

    def say(self, line: bytes) -> None:
        # A few short lines per slot are on their way at most, which fits into the socket.
        try:
            self._parent.sendall(line)
        except OSError:
            os._exit(0)

    def tell_ready(self) -> None:
        if not self._is_ready:
            self._is_ready = True
            self.say(b"READY\n")

    def leave(self, error: BaseException) -> NoReturn:
        """End at once."""
        self._tell_trouble(error)
        os._exit(1)

    def _tell_trouble(self, error: BaseException) -> None:
        # Procrastinate's own errors say little; their causes do.
        text = " ".join(str(error.__cause__ or error).split()) or type(error).__name__
        for secret in self._secrets:
            text = text.replace(secret, "***")
        if text != self._told:
            self._told = text
            self.say(f"TROUBLE {text}\n".encode())

    def _read(self) -> None:
        try:
            data = self._parent.recv(65_536)
        except OSError:
            data = b""
        if not data:
            os._exit(0)  # the parent is dead
        for line in self._lines.feed(data):
            word, _, rest = line.partition(b" ")
            if word == b"DONE":
                done = self._held.get(int(rest))
                if done is not None and not done.done():
                    done.set_result(None)
            elif word == b"MOST":
                self._allow(int(rest))
            elif word == b"STOP":
                self.is_stopping = True
                if self._worker is not None:
                    self._worker.cancel()

    def _allow(self, most: int) -> None:
        """Hold so many at most; with room for more, look for them."""
        had_room, self._most = self.has_room, most
        if self.has_room and not had_room and self.look_again is not None:
            self._looking = asyncio.get_running_loop().create_task(self.look_again())


def _listening_connector(**pool: Any) -> PsycopgConnector:  # noqa: ANN401 - its own parameters
    """Return a connector that has the queues looked at whenever it has begun to listen.

    What was put after the last look and before that is not heard of, and would wait for the next poll.
    """
    from procrastinate import PsycopgConnector
    from procrastinate.connector import Notify

    class Listening(PsycopgConnector):
        async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
            names, loop, tasks = list(channels), asyncio.get_running_loop(), set()

            async def look() -> None:
                await on_notification(channel="", payload='{"type": "job_inserted"}')

            class Channels:
                # Gone through for each new connection; at its end, all of them are listened to.
                def __iter__(self) -> Iterator[str]:
                    yield from names
                    tasks.add(task := loop.create_task(look()))
                    task.add_done_callback(tasks.discard)

            await super().listen_notify(on_notification, Channels())

    return Listening(**pool)


def _pool_for_transactions(schema: str) -> Callable[..., AsyncConnectionPool]:
    """Return a pool that has names found in a schema for one transaction at a time.

    The next one may be in another session, and PgBouncer refuses the parameter `options`.
    """
    from psycopg import AsyncConnection
    from psycopg_pool import AsyncConnectionPool

    class Pool(AsyncConnectionPool):
        @contextlib.asynccontextmanager
        async def connection(self, timeout: float | None = None) -> AsyncIterator[AsyncConnection]:
            async with super().connection(timeout) as connection:
                await connection.execute("SELECT set_config('search_path', %s, true)", (quoted(schema),))
                yield connection

    return Pool


def _watched_manager(app: App, child: _Child) -> JobManager:
    """Return what stands between Procrastinate's worker and the database, with each error noticed."""
    from procrastinate.jobs import Job, Notification, Status
    from procrastinate.manager import JobManager, NotificationCallback
    from psycopg.errors import RaiseException

    async def watched(call: Awaitable[_T]) -> _T:
        try:
            return await call
        except Exception as error:
            child.leave(error)

    class Watched(JobManager):
        heard = 0

        async def register_worker(self) -> int:
            worker = await super().register_worker()
            if not child.listens:
                child.tell_ready()
            return worker

        async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
            if not child.has_room:
                return None
            # The worker forgets what was heard while it looked (worker.py, 3.10.0: `_new_job_event.clear`):
            # what it did not see yet would wait for the next poll.
            while True:
                before = self.heard
                job = await watched(super().fetch_job(queues, worker_id))
                if job is not None:
                    child.take()
                if job is not None or self.heard == before:
                    return job

        async def update_heartbeat(self, worker_id: int) -> None:
            await watched(super().update_heartbeat(worker_id))

        async def listen_for_jobs(
            self, *, on_notification: NotificationCallback, queues: Iterable[str] | None = None
        ) -> None:
            async def hear(*, channel: str, notification: Notification) -> None:
                self.heard += 1
                child.tell_ready()
                await on_notification(channel=channel, notification=notification)

            async def look_again() -> None:
                await hear(channel="", notification={"type": "job_inserted", "job_id": 0})

            child.look_again = look_again
            await watched(super().listen_for_jobs(on_notification=hear, queues=queues))

        async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
            try:
                await super().finish_job(job, status, delete_job)
            except Exception as error:
                # Somebody took us for dead, and the message for lost (schema.sql, "Job was not found").
                if not isinstance(error.__cause__, RaiseException):
                    child.leave(error)

    return Watched(app.connector)


def _die_with_parent() -> None:
    """Be killed when the parent ends, even if nothing is read from it just then; Linux alone can do that."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
