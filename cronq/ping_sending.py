"""One ping over HTTP, tried again for a while; only the process that sends pings imports this."""

from __future__ import annotations

import threading
from collections.abc import Callable
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from cronq import __version__

DELAYS_S = (1.0, 2.0, 4.0, 8.0)
"""Before each further try."""
LONGEST_DELAY_S = 30.0
"""What a server may ask for with Retry-After."""
TIMEOUT = urllib3.Timeout(connect=5.0, read=10.0)
_TRY_AGAIN = frozenset({408, 425, 429})
_PROBLEMS: tuple[tuple[type[Exception], str], ...] = (
    # The first that fits: those further down are their bases.
    (NewConnectionError, "the server cannot be reached"),
    (ConnectTimeoutError, "the server cannot be reached: timed out"),
    (ReadTimeoutError, "no answer: timed out"),
    (SSLError, "the certificate is not accepted, or it is no TLS"),
    (ProtocolError, "the connection broke"),
)
_ANSWER_BYTES = 200


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


class Sender:
    """Sends pings, from several threads at a time."""

    def __init__(self, wait: Callable[[float], None] = _wait) -> None:
        """Begin; `wait` waits between two tries, for so many seconds.

        The environment may name proxies, in `https_proxy`, `no_proxy` and the like.
        """
        self._proxies = getproxies()
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._lock = threading.Lock()
        self._wait = wait

    def send(self, url: str, body: bytes) -> str:
        """Send a ping; return what is wrong, in words that do not hold the URL; empty: it was sent."""
        problem = ""
        for delay_s in (*DELAYS_S, None):
            problem, wanted_s = self._try(url, body)
            if not problem or wanted_s is None or delay_s is None:
                return problem
            self._wait(max(delay_s, min(wanted_s, LONGEST_DELAY_S)))
        return problem

    def _try(self, url: str, body: bytes) -> tuple[str, float | None]:
        """Return what is wrong, and how long to wait before the next try; None: none helps."""
        headers = {"User-Agent": f"cronq/{__version__}", "Content-Type": "text/plain; charset=utf-8"}
        try:
            response = self._pool(url).request(
                "POST",
                url,
                body=body,
                headers=headers,
                timeout=TIMEOUT,
                retries=False,  # ours can be told from one another
                redirect=False,
                preload_content=False,
            )
            try:
                text = response.read1(_ANSWER_BYTES).decode("ascii", "replace").strip()
            finally:
                response.release_conn()
        except HTTPError as error:
            return _problem(error), 0.0
        if 200 <= response.status < 300:
            # healthchecks.io answers with 200 to a check that it does not know, and says so.
            return (f"the server said: {text}" if text.startswith("OK (") else ""), None
        problem = f"HTTP {response.status}"
        if response.status in _TRY_AGAIN or response.status >= 500:
            return problem, _seconds(response.headers.get("Retry-After", ""))
        return problem, None

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urllib3.util.parse_url(url)
        proxy = self._proxies.get(parts.scheme or "", "")
        if not proxy or proxy_bypass(parts.host or ""):
            proxy = ""
        with self._lock:
            if proxy not in self._pools:
                self._pools[proxy] = (
                    urllib3.ProxyManager(proxy, num_pools=50) if proxy else urllib3.PoolManager(num_pools=50)
                )
            return self._pools[proxy]


def _problem(error: HTTPError) -> str:
    for kind, words in _PROBLEMS:
        if isinstance(error, kind):
            return words
    return type(error).__name__


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() else 0.0
