"""What systemd wants to hear from a service: sd_notify(3), in the few lines that it takes."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping


class Notifier:
    """Sends datagrams to `$NOTIFY_SOCKET`; silent where there is none."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Find the socket and the watchdog's interval."""
        address = environ.get("NOTIFY_SOCKET", "")
        # An abstract socket is written with @ for the NUL byte: sd_notify(3).
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_us = environ.get("WATCHDOG_USEC", "")

    @property
    def is_wanted(self) -> bool:
        """Whether a service manager listens."""
        return bool(self._address)

    @property
    def watchdog_s(self) -> float | None:
        """How often to send a sign of life: half of the interval, as sd_watchdog_enabled(3) advises."""
        if not self.is_wanted or not self._watchdog_us.isdecimal() or not int(self._watchdog_us):
            return None
        return int(self._watchdog_us) / 2_000_000

    def send(self, *assignments: str) -> None:
        """Send `READY=1`, `STATUS=…` and the like; a manager that does not listen is no error."""
        if not self.is_wanted:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(self._address)
            sender.sendall("\n".join(assignments).encode())
