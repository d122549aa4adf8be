"""One ping over real HTTP: tried again when that may help, and never longer than it may take."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from tests.ping_server import DROP, HANG, OK, Heard, Reply, ping_server

urllib3 = pytest.importorskip("urllib3")

from cronq import ping_sending  # noqa: E402
from cronq.ping_sending import DELAYS_S, Sender  # noqa: E402


class Waits(list[float]):
    """Remembers how long was to be waited, and does not."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def replies(*given: Reply) -> Callable[[int, str], Reply]:
    """Return these replies one after another; the last one stays."""
    return lambda number, _path: given[min(number, len(given) - 1)]


def test_ping_is_posted_with_what_is_to_be_said() -> None:
    with ping_server() as server:
        assert Sender().send(f"{server.url}/5f1/start?rid=r-1", b"hello") == ""
        assert server.heard == [Heard("POST", "/5f1/start", "r-1", "hello")]


@pytest.mark.parametrize("trouble", [Reply(500), Reply(503), Reply(429), Reply(408), DROP])
def test_trouble_of_the_server_is_waited_out(trouble: Reply) -> None:
    waits = Waits()
    with ping_server(replies(trouble, trouble, OK)) as server:
        assert Sender(waits).send(f"{server.url}/x", b"same") == ""
        assert [one.body for one in server.heard] == ["same"] * 3
    assert waits == list(DELAYS_S[:2])


def test_trouble_that_stays_is_told_without_the_url() -> None:
    waits = Waits()
    with ping_server(replies(Reply(500))) as server:
        assert Sender(waits).send(f"{server.url}/SECRET", b"") == "HTTP 500"
        assert len(server.heard) == len(DELAYS_S) + 1
    assert waits == list(DELAYS_S)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 301])
def test_what_a_further_try_cannot_mend_is_not_tried_again(status: int) -> None:
    waits = Waits()
    with ping_server(replies(Reply(status, headers=(("Location", "/elsewhere"),)))) as server:
        assert Sender(waits).send(f"{server.url}/x", b"") == f"HTTP {status}"
        assert server.paths() == ["/x"]
    assert waits == []


def test_check_that_the_server_does_not_know_is_told_although_it_says_200() -> None:
    with ping_server(replies(Reply(body=b"OK (not found)"))) as server:
        assert Sender().send(f"{server.url}/x", b"") == "the server said: OK (not found)"


@pytest.mark.parametrize(("wanted", "waited"), [("7", 7.0), ("4000", 30.0), ("0", 1.0), ("tomorrow", 1.0)])
def test_server_may_say_when_to_come_again_within_reason(wanted: str, waited: float) -> None:
    waits = Waits()
    with ping_server(replies(Reply(429, headers=(("Retry-After", wanted),)), OK)) as server:
        assert Sender(waits).send(f"{server.url}/x", b"") == ""
    assert waits == [waited]


def test_nobody_there_is_tried_again_and_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/SECRET"
    waits = Waits()
    assert Sender(waits).send(url, b"") == "the server cannot be reached"
    assert waits == list(DELAYS_S)


def test_name_that_is_none_is_told() -> None:
    assert Sender(Waits()).send("http://nowhere.invalid/SECRET", b"") == "the server cannot be reached"


def test_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ping_sending, "TIMEOUT", urllib3.Timeout(connect=5.0, read=0.05))
    with ping_server(replies(HANG)) as server:
        assert Sender(Waits()).send(f"{server.url}/SECRET", b"") == "no answer: timed out"


def test_what_is_no_tls_is_told() -> None:
    with ping_server() as server:
        problem = Sender(Waits()).send(server.url.replace("http:", "https:") + "/SECRET", b"")
    assert problem == "the certificate is not accepted, or it is no TLS"


def test_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with ping_server() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert Sender().send("http://example.invalid/5f1?rid=r", b"") == ""
        # A proxy is asked for the whole URL.
        assert proxy.paths() == ["/5f1"]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with ping_server() as server:
            assert Sender().send(f"{server.url}/direct", b"") == ""
            assert server.paths() == ["/direct"]
        assert proxy.paths() == ["/5f1"]


def test_every_error_of_the_library_has_words_or_its_name() -> None:
    from urllib3 import exceptions

    kinds = [kind for kind in vars(exceptions).values() if isinstance(kind, type)]
    errors = [kind for kind in kinds if issubclass(kind, exceptions.HTTPError)]
    assert len(errors) > 20
    for kind in errors:
        error = kind.__new__(kind)
        problem = ping_sending._problem(error)
        assert problem
        assert "http" not in problem.lower() or problem == kind.__name__
