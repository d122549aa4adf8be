"""What a service manager hears: sd_notify(3) on a real socket."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """The value of NOTIFY_SOCKET, and the socket that listens there."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.settimeout(30)
    if request.param == "path":
        address = str(tmp_path / "notify")
        listener.bind(address)
    else:
        if sys.platform != "linux":
            pytest.skip("abstract sockets are Linux's")
        address = f"@cronq-test-{os.getpid()}-{tmp_path.name}"
        listener.bind("\0" + address[1:])
    yield address, listener
    listener.close()


def test_send_is_one_datagram_of_lines(manager: tuple[str, socket.socket]) -> None:
    address, listener = manager
    notifier = Notifier({"NOTIFY_SOCKET": address})
    assert notifier.is_wanted
    notifier.send("READY=1", "STATUS=2 running, über")
    notifier.send("STOPPING=1")
    assert listener.recv(4096).decode() == "READY=1\nSTATUS=2 running, über"
    assert listener.recv(4096) == b"STOPPING=1"


def test_send_without_a_manager_is_silent(tmp_path: Path) -> None:
    for environ in ({}, {"NOTIFY_SOCKET": ""}):
        notifier = Notifier(environ)
        assert not notifier.is_wanted
        notifier.send("READY=1")


@pytest.mark.parametrize("address", ["missing", "@cronq-nobody-listens-here", "x" * 300, "vsock:2:1234", "@"])
def test_send_to_a_manager_that_does_not_listen_is_no_error(tmp_path: Path, address: str) -> None:
    path = str(tmp_path / address) if address == "missing" else address
    Notifier({"NOTIFY_SOCKET": path}).send("READY=1")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "30000000"}, 15.0),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1"}, 5e-7),
        ({"NOTIFY_SOCKET": "@x"}, None),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": ""}, None),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "0"}, None),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "-5"}, None),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1e6"}, None),
        ({"WATCHDOG_USEC": "30000000"}, None),
    ],
)
def test_watchdog_wants_a_sign_at_half_its_interval(environ: dict[str, str], expected: float | None) -> None:
    assert Notifier(environ).watchdog_s == expected
