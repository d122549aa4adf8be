"""The process that sends pings: reads them from standard input, a line each, and says what became of them.

It lives only as long as its scheduler: at the end of its input it sends what it has, for a short while, and
ends. Pings of one check go one after another, those of several beside one another.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections import deque
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypedDict

from cronq.errors import UsageError
from cronq.ping_urls import endpoint, read_ping, variable_in

if TYPE_CHECKING:
    from cronq.ping_sending import Sender

FLUSH_S = 5.0
"""How long what waits may still be sent when the scheduler ends."""
AT_ONCE = 16
"""Checks that are spoken to at a time."""
MOST_BYTES = 100_000
"""Of what is sent along: healthchecks.io keeps so much of the beginning."""


class Ping(TypedDict):
    """One line of the input.

    Attributes:
        id: What is answered when it was sent, or given up.
        url: Of the check, or `$NAME`.
        kind: See `cronq.ping_signals.Signal`.
        text: Likewise.
        run: Names the run among all runs.
        log: Path of the output that is sent along.
        definition: Document of the job's definition, if that has secrets.
    """

    id: int
    job: str
    url: str
    kind: str
    text: str
    run: str
    log: str | None
    definition: str | None


class Lanes:
    """Pings that wait, in a line for each check."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._lines: dict[str, deque[Ping]] = {}
        self._ready: SimpleQueue[str] = SimpleQueue()
        self._changed = threading.Condition()
        self._threads = 0
        self._failing: set[str] = set()

    def put(self, ping: Ping) -> None:
        """Add a ping to the line of its check."""
        with self._changed:
            line = self._lines.setdefault(ping["url"], deque())
            line.append(ping)
            if len(line) == 1:
                self._ready.put(ping["url"])
                if self._threads < min(AT_ONCE, len(self._lines)):
                    self._threads += 1
                    threading.Thread(target=self._work, daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Wait until all were sent or given up, or for so long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines, seconds)

    def _work(self) -> None:
        while True:
            url = self._ready.get()
            ping = self._lines[url][0]
            problem = self._send(ping)
            if problem and url not in self._failing:
                answer({"warning": f"{ping['job']}: the ping could not be sent: {problem}"})
            answer({"done": ping["id"]})
            with self._changed:
                (self._failing.add if problem else self._failing.discard)(url)
                line = self._lines[url]
                line.popleft()
                if line:
                    self._ready.put(url)
                else:
                    del self._lines[url]
                    self._changed.notify_all()

    def _send(self, ping: Ping) -> str:
        """Send a ping; return what is wrong, without the URL; empty: it was sent."""
        try:
            url = ping["url"]
            if name := variable_in(url):
                url = os.environ.get(name, "")
                if not url:
                    return f"the scheduler has no variable {name}"
                try:
                    read_ping(url)
                except UsageError:
                    return f"the variable {name} holds no URL"
            return self._sender.send(endpoint(url, ping["kind"], run_uuid(ping["run"])), body_of(ping))
        except Exception as error:
            # Whatever it is: it must not cost the pings that follow.
            return type(error).__name__


def run_uuid(run: str) -> str:
    """Return the id of a run, the same whenever it is asked for."""
    import uuid

    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"cronq:{run}"))


def body_of(ping: Ping) -> bytes:
    """Return what is sent along: what happened, and the tail of the output without secrets."""
    head = ping["text"].encode("utf-8", "replace") + b"\n"
    if ping["log"] is None:
        return head[:MOST_BYTES]
    tail = tail_of(Path(ping["log"]), MOST_BYTES - len(head) - 1, ping["definition"])
    return head + b"\n" + tail if tail else head


def tail_of(path: Path, most: int, document: str | None) -> bytes:
    """Return the end of a log as UTF-8 text of at most so many bytes.

    Args:
        path: The log; if it cannot be read, there is none.
        most: How many bytes.
        document: The definition of its job, if that has secrets.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most))
            data = file.read(most)
    except OSError:
        return b""
    if document is not None:
        from cronq.store.documents import definition_from_document
        from cronq.worker.environment import secrets_now

        stream = secrets_now(definition_from_document(document), os.environ).stream(starts_amid=size > most)
        data = stream.feed(data) + stream.flush()
    # Where the middle was cut out there is a hole, which reads as zeros.
    text = data.replace(b"\0", b"").decode("utf-8", "replace").encode()
    return text[-most:].decode("utf-8", "ignore").encode()


_speaking = threading.Lock()


def answer(document: dict[str, object]) -> None:
    """Tell the scheduler something; if it is gone, nobody wants to know."""
    line = json.dumps(document).encode() + b"\n"
    with _speaking, contextlib.suppress(OSError):
        while line:
            line = line[os.write(1, line) :]


def main() -> None:
    """Send pings until the input ends."""
    # Who stops the scheduler may mean all of its group; it still has something to say.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        from cronq.ping_sending import Sender
    except ImportError:
        answer({"useless": "pings are not sent: urllib3 is missing; pip install 'cronq-cli[ping]'"})
        sys.stdin.buffer.read()
        return
    lanes = Lanes(Sender())
    for line in sys.stdin.buffer:
        if line.endswith(b"\n"):  # else the scheduler died while it wrote
            lanes.put(json.loads(line))
    lanes.wait(FLUSH_S)
    os._exit(0)  # not waiting for threads that wait for a server
