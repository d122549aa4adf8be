"""A check's server on this machine: real HTTP, answers as a test wants them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

PATIENCE_S = 60.0


class Heard(NamedTuple):
    """One request."""

    method: str
    path: str
    rid: str
    body: str


class Reply(NamedTuple):
    """What is answered; `hangs`: nothing, until the server ends; `drops`: the connection is closed."""

    status: int = 200
    body: bytes = b"OK"
    headers: tuple[tuple[str, str], ...] = ()
    hangs: bool = False
    drops: bool = False


OK = Reply()
HANG = Reply(hangs=True)
DROP = Reply(drops=True)


@dataclass
class PingServer:
    """What was heard, and what is answered: a reply by the number of the request and its path."""

    reply: Callable[[int, str], Reply] = lambda _number, _path: OK
    heard: list[Heard] = field(default_factory=list)
    url: str = ""
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _over: threading.Event = field(default_factory=threading.Event)

    def take(self, heard: Heard) -> Reply:
        with self._changed:
            self.heard.append(heard)
            self._changed.notify_all()
            return self.reply(len(self.heard) - 1, heard.path)

    def wait_for(self, condition: Callable[[list[Heard]], object]) -> list[Heard]:
        """Wait until what was heard is so."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self.heard), PATIENCE_S), self.heard
            return list(self.heard)

    def paths(self) -> list[str]:
        with self._changed:
            return [one.path for one in self.heard]


@contextmanager
def ping_server(reply: Callable[[int, str], Reply] | None = None) -> Iterator[PingServer]:
    """Be a server for a while."""
    server = PingServer()
    if reply is not None:
        server.reply = reply

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            parts = urlsplit(self.path)
            rid = parse_qs(parts.query).get("rid", [""])[0]
            reply = server.take(Heard(self.command, parts.path, rid, body.decode()))
            if reply.hangs:
                server._over.wait(PATIENCE_S)
            if reply.hangs or reply.drops:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in (*reply.headers, ("Content-Length", str(len(reply.body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_arguments: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_arguments: object) -> None:
            pass  # a client that was killed

    http = Quiet(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server._over.set()
        http.shutdown()
        thread.join()
        http.server_close()
