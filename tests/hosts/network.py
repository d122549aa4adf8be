"""Hosts on one machine: each with its own network, name and processes, and a cable that can be pulled.

A host is a few namespaces that live as long as their first process, which ends when its standard input does:
so nothing is left, not even of a test that was killed. Files are shared; a host's state is in its folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_INIT = "import signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); sys.stdin.read()"
_TOOLS = ("ip", "nsenter", "unshare")
ROOT = Path(__file__).parents[2]


def why_not() -> str | None:
    """Return why there can be no hosts here; None if there can."""
    if sys.platform != "linux":
        return "namespaces are Linux's"
    missing = [name for name in _TOOLS if shutil.which(name) is None]
    if missing:
        return f"there is no {', '.join(missing)}"
    words = ("unshare", "--net", "--uts", "--pid", "--fork", "--mount-proc")
    words += ("ip", "link", "add", "b0", "type", "bridge")
    made = subprocess.run(words, capture_output=True, text=True, check=False)
    return f"no namespaces can be made: {made.stderr.strip()}" if made.returncode else None


class Space:
    """A network of its own, and what lives in it."""

    def __init__(self, *words: str) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--fork", *words, sys.executable, "-c", _INIT], stdin=subprocess.PIPE
        )
        self.pid = _only_child(self._holder.pid)

    def ip(self, *words: str) -> None:
        """Run ip(8) here."""
        command = ("nsenter", "-t", str(self.pid), "--net", "ip", *words)
        # The namespaces are made by the parent of `pid`, before it; the tool may yet be slow to begin.
        subprocess.run(command, check=True, capture_output=True, text=True)

    def end(self) -> None:
        """End all processes here, as if the power went."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait(20)


class Host(Space):
    """A machine.

    Attributes:
        name: What it calls itself.
        address: Where the others reach it.
        folder: Its own files.
    """

    def __init__(self, name: str, address: str, folder: Path) -> None:
        super().__init__("--uts", "--pid", "--mount-proc")
        self._processes: list[Process] = []
        self.name = name
        self.address = address
        self.folder = folder
        self.state = folder / "state"
        self.environ = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "XDG_STATE_HOME": str(self.state),
            "XDG_DATA_HOME": str(folder / "data"),
            "PYTHONPATH": str(ROOT),
        }
        folder.mkdir()
        self.run("hostname", name)
        self.ip("link", "set", "lo", "up")

    def inside(self, *words: str) -> list[str]:
        """Return the command that runs another one here."""
        return ["nsenter", "-t", str(self.pid), "--net", "--uts", "--pid", "--mount", "--", *words]

    def run(
        self, *words: str, environ: Mapping[str, str] | None = None, code: int = 0, seconds: float = 60
    ) -> str:
        """Run a program to its end, and return what it wrote."""
        done = subprocess.run(
            self.inside(*words),
            env={**self.environ, **(environ or {})},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            cwd=self.folder,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, *words: str, log: Path, environ: Mapping[str, str] | None = None) -> Process:
        """Begin a program."""
        with log.open("ab") as file:
            process = subprocess.Popen(
                self.inside(*words),
                env={**self.environ, **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=self.folder,
            )
        self._processes.append(Process(process, log))
        return self._processes[-1]

    def end(self) -> None:
        super().end()
        for process in self._processes:
            process.wait()


class Process:
    """A program that runs on a host; nsenter(1) is its parent."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self.log = log

    @property
    def pid(self) -> int:
        """Its number outside."""
        return _only_child(self._process.pid)

    @property
    def code(self) -> int | None:
        """Its exit code, if it has ended."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def stop(self, seconds: float = 40) -> int:
        """Ask it to end, and wait."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGTERM)
        return self._process.wait(seconds)

    def wait(self, seconds: float = 20) -> int:
        """Wait for its end; return its exit code."""
        return self._process.wait(seconds)

    def said(self) -> str:
        """Return all that it has written."""
        return self.log.read_text(encoding="utf-8", errors="replace")


class Network:
    """Hosts whose cables end in one switch."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._switch = Space()
        self._hosts: list[Host] = []
        self._switch.ip("link", "add", "br0", "type", "bridge")
        self._switch.ip("link", "set", "br0", "up")

    def host(self, name: str) -> Host:
        """Add one."""
        number = len(self._hosts) + 1
        host = Host(name, f"10.213.7.{number}", self._folder / name)
        self._hosts.append(host)
        port = self._port(host)
        peer = ("peer", "name", "eth0", "netns", str(host.pid))
        self._switch.ip("link", "add", port, "type", "veth", *peer)
        self._switch.ip("link", "set", port, "up", "master", "br0")
        host.ip("address", "add", f"{host.address}/24", "dev", "eth0")
        host.ip("link", "set", "eth0", "up")
        return host

    def cut(self, host: Host) -> None:
        """Let what the host sends, and is sent, vanish; its own end of the cable looks as before."""
        self._switch.ip("link", "set", self._port(host), "nomaster")

    def heal(self, host: Host) -> None:
        """Mend it."""
        self._switch.ip("link", "set", self._port(host), "master", "br0")

    def _port(self, host: Host) -> str:
        return f"port{self._hosts.index(host) + 1}"

    def end(self) -> None:
        for space in (*self._hosts, self._switch):
            space.end()


@contextmanager
def a_network() -> Iterator[Network]:
    """Make an empty network, and end it with all that lives there."""
    folder = Path(tempfile.mkdtemp(prefix="cronq-hosts-"))
    folder.chmod(0o755)
    network = Network(folder)
    try:
        yield network
    finally:
        network.end()
        shutil.rmtree(folder, ignore_errors=True)


def _only_child(pid: int, seconds: float = 10) -> int:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.005)
    raise AssertionError(f"process {pid} has no child")
