"""Where pings go: what is refused, what is shown, and what is asked for."""

from __future__ import annotations

import pytest

from cronq.errors import UsageError
from cronq.ping_urls import endpoint, masked, read_ping, variable_in


@pytest.mark.parametrize(
    "text",
    [
        "https://hc-ping.com/5f1a2b3c-0000-4000-8000-000000000000",
        "HTTP://localhost:8000/ping/key/slug?create=1",
        "http://[::1]:8000/x",
        "https://example.org",
        "$PING_URL",
    ],
)
def test_urls_and_variables_are_taken_as_they_stand(text: str) -> None:
    assert read_ping(text) == text


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("ftp://host/x", "http or https", "ftp"),
        ("hc-ping.com/x", "http or https", "hc-ping.com/x"),
        ("", "http or https", ""),
        ("https:/host/x", "no host", "/host/x"),
        ("https://", "no host", "//"),
        ("https://:80/x", "no host", "//:80/x"),
        ("https://host:99999/", "Port", "//host:99999/"),
        ("https://host:x/", "Port", "//host:x/"),
        ("https://[::1/x", "IPv6", "//[::1/x"),
        ("https://me:secret@host/x", "name or password", "me:secret@"),
        ("https://host/a b", "blanks", " "),
        ("https://host/ü", "ASCII", "ü"),
        ("https://host/x#y", "after #", "#y"),
        ("https://host/x#", "after #", "#"),
        ("$1X", "http or https", "$1X"),
        ("${X}", "http or https", "${X}"),
        ("https://host/" + "x" * 2000, "more than 2000", "x" * 13),
    ],
)
def test_what_cannot_be_pinged_is_refused_with_its_place(text: str, message: str, at: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_ping(text)
    assert caught.value.text == text
    assert caught.value.span is not None
    assert text[slice(*caught.value.span)] == at
    assert "secret" not in caught.value.message + caught.value.hint


def test_what_tells_whose_check_it_is_is_not_shown() -> None:
    assert masked("https://hc-ping.com/5f1?key=2") == "https://hc-ping.com/***"
    assert masked("$PING_URL") == "$PING_URL"
    assert (variable_in("$PING_URL"), variable_in("https://x/$A")) == ("PING_URL", None)


@pytest.mark.parametrize(
    ("url", "signal", "expected"),
    [
        ("https://h/5f1", "", "https://h/5f1?rid=R"),
        ("https://h/5f1", "start", "https://h/5f1/start?rid=R"),
        ("https://h/5f1/", "fail", "https://h/5f1/fail?rid=R"),
        ("https://h/key/slug?create=1", "log", "https://h/key/slug/log?create=1&rid=R"),
        ("https://h", "3", "https://h/3?rid=R"),
    ],
)
def test_a_signal_is_the_last_part_of_the_path(url: str, signal: str, expected: str) -> None:
    assert endpoint(url, signal, "R") == expected
