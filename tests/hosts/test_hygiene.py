"""What a node shows of itself: it listens nowhere, and tells nobody the password of its ledger."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.hosts.ledger import Ledger, eventually
from tests.hosts.network import Host

WORK = "sleep 1000"


@pytest.fixture
def working(alpha: Host, beta: Host, ledger: Ledger) -> Ledger:
    """A ledger with a node on beta that executes a command and a callable."""
    (beta.folder / "mine.py").write_text("import time\n\ndef work():\n    time.sleep(1000)\n")
    ledger.cronq(beta, "add", "one", "0 0 1 1 *", "--cwd", "/", "--shell", f"exec {WORK}")
    ledger.cronq(beta, "add", "two", "0 0 1 1 *", "--cwd", str(beta.folder), "--python", "mine:work")
    ledger.node(beta)
    for name in ("one", "two"):
        run_id = ledger.trigger(alpha, name)
        eventually(
            lambda run_id=run_id: [row for row in ledger.attempts(run_id) if row.started_at],  # type: ignore[misc]
            "it has started",
        )
    return ledger


def test_nothing_listens_on_the_network(beta: Host, working: Ledger) -> None:
    said = beta.run("cat", "/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6")
    sockets = [line.split() for line in said.splitlines() if re.match(r" *\d+:", line)]
    connected = [words for words in sockets if words[3] == "01"]
    listening = [words for words in sockets if words[3] in {"0A", "07"}]
    assert len(connected) >= 3, "the ledger, the news and the wire"
    assert listening == []


@pytest.mark.slow
def test_password_is_shown_nowhere(alpha: Host, beta: Host, working: Ledger) -> None:
    password = working.server.password
    processes = {pid: words for pid, words in processes_of(beta) if "cronq" in words or WORK in words}
    assert any(WORK in words for words in processes.values())
    assert any("cronq.wire.child" in words for words in processes.values())
    for words in processes.values():
        assert password not in words
    # Where whoever started the node put it: in the node, and in its copies, which execute nothing else.
    for pid, words in processes.items():
        if password in Path(f"/proc/{pid}/environ").read_text():
            assert re.search(r"-m cronq run|multiprocessing", words), words

    for command in (["runs"], ["show", "one"], ["status"], ["doctor"], ["why", "one"], ["list", "--json"]):
        assert password not in told(working, beta, *command)
    # What is said when something is wrong.
    for url in (
        working.url.replace(password, password + "x"),
        working.url.replace(f"{alpha.address}/", f"{alpha.address}:x/"),
        working.url.replace(password, f"1/{password}"),
        working.url.replace(password, f"%zz{password}"),
        working.url.replace(password, f"1?a={password}"),
        working.url + "?schema=NO",
        working.url + "#x",
        working.url.replace(alpha.address, "10.213.7.99"),
        working.url.replace("cronq:", "cr onq:"),
        working.url + "?nonsense=1",
        working.url + "?port=x",
    ):
        assert password not in told(working, beta, "list", url=url)
    working.server.stop("immediate")
    time.sleep(3)
    said = [path for path in beta.folder.rglob("*") if path.is_file()]
    said += list(alpha.folder.glob("*.log"))
    assert any(path.is_relative_to(beta.state) for path in said)
    assert any(b"cannot be reached" in path.read_bytes() for path in said)
    assert [path for path in said if password.encode() in path.read_bytes()] == []


def processes_of(host: Host) -> list[tuple[int, str]]:
    """Return the processes of a host, by their numbers outside, and their words."""
    own = Path(f"/proc/{host.pid}/ns/pid").readlink()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "ns/pid").readlink() == own:
                found.append((int(path.name), (path / "cmdline").read_text().replace("\0", " ")))
        except OSError:
            continue  # it has ended
    return found


def told(ledger: Ledger, host: Host, *words: str, url: str | None = None) -> str:
    """Return all that a command says, whether or not it succeeds."""
    import sys

    script = '"$@" 2>&1; true'
    return host.run(
        *("sh", "-c", script, "sh", sys.executable, "-m", "cronq", *words),
        environ={"CRONQ_DB": url or ledger.url},
    )
