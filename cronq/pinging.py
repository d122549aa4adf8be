"""Pings of a scheduler: handed to a process of their own, so that no server can hold up a job.

::

    scheduler ── one line a ping ──▶ `cronq.ping_process` ── HTTP ──▶ the check
              ◀── done, or a notice ──

The process is started with the first ping, and goes when there was none for a while. What it has not
acknowledged is kept, at most `MOST` pings, and given to the next one if it dies. Writing never waits: what
does not fit into the pipe stays here until the next look.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cronq
from cronq import events
from cronq.clock import Clock
from cronq.errors import CronqError
from cronq.model import AttemptEnd, AttemptStart, Claim, Definition, Run
from cronq.ping_process import FLUSH_S
from cronq.ping_signals import Signal, of_end, of_launch, of_start
from cronq.scheduler import Scheduler, Ticker
from cronq.store.documents import document_from_definition

if TYPE_CHECKING:
    from cronq.store import Place

MOST = 1000
"""So many pings may wait; further ones are dropped, and that is told once."""
LOOK_EVERY_S = 1.0
IDLE_S = 300.0
"""The process goes when there was nothing to send for so long."""
STALLED_S = 300.0
"""A process that answers nothing for so long is stopped, or hangs: every try of a ping is over by then."""
PAUSES_S = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Between starts of a process that dies; the last one repeats."""
_GIVE_UP = 5
"""Deaths without a single ping sent, after which what waits is given up: it may be the reason."""
_KNOWN = 10_000
_START = "import sys; sys.path.append(sys.argv.pop()); from cronq.ping_process import main; main()"

DefinitionOf = Callable[[int, int], Definition]


class Pings:
    """Sends what happens to jobs that have `--ping`; nothing, and no process, for all others."""

    def __init__(self, place: Place, clock: Clock, tell: events.Sink, environ: Mapping[str, str]) -> None:
        """Begin; see `pinging`.

        Args:
            place: Of the store, for the logs.
            clock: Of the scheduler.
            tell: Where notices go.
            environ: The scheduler's; it holds the URLs of jobs that name a variable.
        """
        self._place = place
        self._clock = clock
        self._tell = tell
        self._environ = environ
        self._waiting: dict[int, bytes] = {}
        self._unsent: deque[bytes] = deque()
        self._offset = 0
        self._number = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = b""
        self._start_at = 0.0
        self._deaths = 0
        self._dropped = 0
        self._is_useless = False
        self._ending: list[subprocess.Popen[bytes]] = []
        self._last_at = self._heard_at = self._began_waiting_at = clock.monotonic()
        self._known: dict[tuple[int, int], Definition | None] = {}
        self._ticker = Ticker(LOOK_EVERY_S, lambda _scheduler: self.look(), wakes=False)

    def attend(self, scheduler: Scheduler) -> None:
        """Look after what waits from within the loop of a scheduler."""
        scheduler.tickers.append(self._ticker)

    @property
    def pid(self) -> int | None:
        """The process that sends; None: there is none now."""
        return None if self._process is None else self._process.pid

    # What the scheduler says

    def launched(self, runs: Iterable[Run], definition_of: DefinitionOf) -> None:
        """Send what is to be sent about fire times that passed."""
        for signal in of_launch(runs, lambda run: self._definition(run, definition_of) is not None):
            definition = self._definition(signal.run, definition_of)
            if definition is not None:
                self._put(signal, definition)

    def started(self, claim: Claim, start: AttemptStart) -> None:
        """Send that a run started."""
        if claim.definition.ping is not None and (signal := of_start(claim, start)) is not None:
            self._put(signal, claim.definition)

    def ended(self, claim: Claim, end: AttemptEnd, after: Run) -> None:
        """Send how an attempt ended."""
        if claim.definition.ping is not None:
            self._put(of_end(claim, end, after), claim.definition)

    def _definition(self, run: Run, definition_of: DefinitionOf) -> Definition | None:
        """Return the definition of a run if it has a ping; remembered, because mostly it has none."""
        key = (run.job_id, run.revision)
        if key not in self._known:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            try:
                definition = definition_of(*key)
            except CronqError:
                return None  # the scheduler meets the same trouble, and tells it
            self._known[key] = None if definition.ping is None else definition
        return self._known[key]

    # What waits

    def _put(self, signal: Signal, definition: Definition) -> None:
        if self._is_useless:
            return
        if len(self._waiting) >= MOST:
            if not self._dropped:
                self._notice("warning", f"{MOST} pings wait to be sent: further ones are dropped")
            self._dropped += 1
            return
        self._number += 1
        self._last_at = self._clock.monotonic()
        if not self._waiting:
            self._began_waiting_at = self._last_at
        line = json.dumps(self._message(signal, definition)).encode() + b"\n"
        self._waiting[self._number] = line
        self._unsent.append(line)
        self.look()

    def _message(self, signal: Signal, definition: Definition) -> dict[str, object]:
        run = signal.run
        return {
            "id": self._number,
            "job": run.job,
            "url": definition.ping,
            "kind": signal.kind,
            "text": signal.text,
            # The next scheduler, which may see the end of this run, must come to the same id.
            "run": f"{self._place.database}\n{run.job}\n{run.id}\n{run.queued_at}",
            "log": None if signal.log is None else str(self._place.log_file(*signal.log)),
            "definition": document_from_definition(definition) if signal.log and definition.secrets else None,
        }

    def look(self) -> None:
        """Read what the process answers, give it what waits, and see that there is one if need be."""
        self._ending = [process for process in self._ending if process.poll() is None]
        if self._process is not None:
            self._read()
        if self._process is not None and self._waiting and self._is_stalled():
            self._process.kill()
            self._lost()
        if self._waiting and self._process is None and self._clock.monotonic() >= self._start_at:
            self._start()
        if self._process is not None:
            self._write()
            if not self._waiting and self._clock.monotonic() - self._last_at >= IDLE_S:
                self._let_go()
        self._ticker.wakes = bool(self._waiting)

    def _is_stalled(self) -> bool:
        return self._clock.monotonic() - max(self._heard_at, self._began_waiting_at) > STALLED_S

    def _write(self) -> None:
        process = cast("subprocess.Popen[bytes]", self._process)
        assert process.stdin is not None
        try:
            while self._unsent:
                self._offset += os.write(process.stdin.fileno(), self._unsent[0][self._offset :])
                if self._offset == len(self._unsent[0]):
                    self._unsent.popleft()
                    self._offset = 0
        except BlockingIOError:
            pass  # it is slow, or stopped: later
        except OSError:
            self._lost()

    def _read(self) -> None:
        process = cast("subprocess.Popen[bytes]", self._process)
        assert process.stdout is not None
        while True:
            try:
                data = os.read(process.stdout.fileno(), 65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._lost()
                return
            *lines, self._answers = (self._answers + data).split(b"\n")
            for line in lines:
                self._take(line)

    def _take(self, line: bytes) -> None:
        self._heard_at = self._clock.monotonic()
        answer = json.loads(line)
        if "done" in answer:
            self._waiting.pop(answer["done"], None)
            self._deaths = 0
            if self._dropped and len(self._waiting) <= MOST // 2:
                self._notice("warning", f"{_counted(self._dropped)} dropped; further ones are sent again")
                self._dropped = 0
        elif "useless" in answer:
            self._is_useless = True
            self._waiting.clear()
            self._unsent.clear()
            self._notice("warning", str(answer["useless"]))
        else:
            self._notice("warning", str(answer["warning"]))

    # The process

    def _start(self) -> None:
        # Not by `-m`: that would look for modules in the working directory first. In a group of its own, so
        # that Ctrl-C does not reach it; in our session, or its end would be taken for that of a job's orphan.
        root = str(Path(cronq.__file__).parents[1])
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, root],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None if self._environ.get("CRONQ_DEBUG") else subprocess.DEVNULL,
                bufsize=0,
                env=dict(self._environ),
                cwd="/",
                process_group=0,
            )
        except OSError as error:
            self._notice_death(f"cannot be started: {error.strerror}")
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        os.set_blocking(self._process.stdout.fileno(), False)
        self._answers = b""
        self._heard_at = self._clock.monotonic()
        self._resend()

    def _resend(self) -> None:
        self._unsent = deque(self._waiting.values())
        self._offset = 0

    def _lost(self) -> None:
        """Come to terms with the end of the process: it is not the scheduler's."""
        process = self._process
        self._let_go()
        if self._waiting and process is not None:
            code = process.poll()
            self._notice_death("ended" if code is None or code >= 0 else f"ended by signal {-code}")

    def _notice_death(self, what: str) -> None:
        self._start_at = self._clock.monotonic() + PAUSES_S[min(self._deaths, len(PAUSES_S) - 1)]
        self._deaths += 1
        if self._deaths == 1:
            self._notice("warning", f"the process that sends pings {what}; it is started again")
        elif self._deaths > _GIVE_UP:
            self._notice(
                "warning", f"{_counted(len(self._waiting))} given up: their process {what} each time"
            )
            self._waiting.clear()
        self._resend()

    def _let_go(self) -> None:
        """Close the pipes; the process sends what it has, for a while, and ends by itself."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        if process.poll() is None:
            self._ending.append(process)

    def close(self) -> None:
        """Give the process a short time to send what waits; then end it."""
        process = self._process
        if process is not None:
            self._finish(process)
            self._let_go()
        for process in self._ending:
            process.kill()
            process.wait()
        lost = len(self._waiting) + self._dropped
        if lost:
            self._notice("warning", f"{_counted(lost)} not sent")
            self._waiting.clear()

    def _finish(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until all was sent, but not for long; a process that dies now is not started again."""
        import selectors

        ends_at = self._clock.monotonic() + FLUSH_S
        assert process.stdin is not None
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if self._unsent:
                selector.register(process.stdin, selectors.EVENT_WRITE)
            while self._waiting and self._process is not None:
                left_s = ends_at - self._clock.monotonic()
                if left_s <= 0:
                    return
                selector.select(left_s)
                self._write()
                if self._process is not None:
                    self._read()
                if not self._unsent and process.stdin in selector.get_map():
                    selector.unregister(process.stdin)

    def _notice(self, level: str, message: str) -> None:
        self._tell(events.Notice(self._clock.now(), level, message))


def _counted(pings: int) -> str:
    return "1 ping was" if pings == 1 else f"{pings} pings were"


@contextmanager
def pinging(place: Place, clock: Clock, tell: events.Sink, environ: Mapping[str, str]) -> Iterator[Pings]:
    """Send the pings of a scheduler for a while; leaving takes up to `FLUSH_S`, if some are not sent yet.

    To be entered before the store is opened, so that the lock is not held for a server that does not answer.
    Then `Scheduler(…, watcher=pings)` and `pings.attend(scheduler)`.
    """
    pings = Pings(place, clock, tell, environ)
    try:
        yield pings
    finally:
        pings.close()
