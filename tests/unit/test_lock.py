"""One scheduler at a time: the kernel says who, and the file says it to people."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from cronq.clock import now_us
from cronq.errors import ExitCode, SchedulerRunning, StoreFull, StoreUntrusted
from cronq.lock import Holder, hold, is_held, read_holder

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
DEADLINE_S = 60


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cronq.db.lock"


def _hold_for_ever(path: Path, ready: Connection) -> None:
    release = hold(path)
    ready.send(os.getpid())
    signal.pause()
    release()


@contextmanager
def holder_of(path: Path) -> Iterator[int]:
    """Let another process hold the lock; gives its pid."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_hold_for_ever, args=(path, theirs))
    process.start()
    try:
        assert ours.poll(DEADLINE_S)
        yield ours.recv()
    finally:
        process.kill()
        process.join(DEADLINE_S)
        ours.close()
        theirs.close()
        process.close()


def test_hold_is_held_until_released(path: Path) -> None:
    assert not is_held(path)
    release = hold(path)
    assert is_held(path)
    release()
    assert not is_held(path)
    hold(path)()


def test_hold_signs_the_file(path: Path) -> None:
    before = now_us()
    release = hold(path)
    holder = read_holder(path)
    release()
    assert holder is not None
    assert (holder.pid, holder.host) == (os.getpid(), socket.gethostname())
    assert before <= holder.since <= now_us()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_second_holder_is_refused_and_told_who_holds_it(path: Path) -> None:
    with holder_of(path) as pid:
        assert is_held(path)
        with pytest.raises(SchedulerRunning) as caught:
            hold(path)
        assert caught.value.exit_code is ExitCode.CONFLICT
        (detail,) = caught.value.details
        assert detail.startswith(f"pid {pid} on {socket.gethostname()}, since ")
        assert "cronq status" in caught.value.hint
        # Having been refused changed nothing.
        holder = read_holder(path)
        assert holder is not None
        assert holder.pid == pid


def test_second_holder_in_the_same_process_is_refused_too(path: Path) -> None:
    release = hold(path)
    with pytest.raises(SchedulerRunning):
        hold(path)
    assert is_held(path)
    release()


def test_lock_of_a_killed_holder_is_free(path: Path) -> None:
    with holder_of(path) as pid:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert not is_held(path)
        release = hold(path)
        holder = read_holder(path)
        assert holder is not None
        assert holder.pid == os.getpid()
        release()


def test_looking_at_the_lock_does_not_disturb_its_holder(path: Path) -> None:
    release = hold(path)
    before = path.read_bytes()
    for _ in range(50):
        assert is_held(path)
    assert path.read_bytes() == before
    release()


def test_is_held_without_a_file_is_false_and_makes_none(path: Path) -> None:
    assert not is_held(path)
    assert not path.exists()


def test_hold_where_no_file_can_be_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreFull, match="cannot look at the lock"):
        hold(tmp_path / "file" / "cronq.db.lock")
    with pytest.raises(StoreFull, match="cannot look at the lock"):
        hold(tmp_path / ("x" * 300))


def test_hold_is_released_when_nobody_keeps_it(path: Path) -> None:
    hold(path)
    gc.collect()
    assert not is_held(path)


@pytest.mark.parametrize("what", ["symlink", "dangling symlink", "hard link", "folder", "fifo"])
def test_hold_of_something_planted_is_refused_and_touches_nothing(path: Path, what: str) -> None:
    victim = path.with_name("victim")
    victim.write_text("precious", encoding="utf-8")
    if what == "symlink":
        path.symlink_to(victim)
    elif what == "dangling symlink":
        path.symlink_to(path.with_name("nowhere"))
    elif what == "hard link":
        os.link(victim, path)
    elif what == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(StoreUntrusted, match="is not a plain file of yours") as caught:
        hold(path)
    assert str(path) in caught.value.hint
    assert victim.read_text(encoding="utf-8") == "precious"
    assert not path.with_name("nowhere").exists()


def test_is_held_does_not_follow_a_symlink(path: Path) -> None:
    other = path.with_name("other.lock")
    release = hold(other)
    path.symlink_to(other)
    assert not is_held(path)
    release()


@needs_root
def test_hold_of_somebody_elses_file_is_refused(path: Path) -> None:
    path.touch()
    os.chown(path, 65534, 65534)
    with pytest.raises(StoreUntrusted):
        hold(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps({"pid": 1, "host": "h", "since": 5}), Holder(1, "h", 5)),
        (json.dumps({"pid": "1", "host": 7, "since": "5"}), Holder(1, "7", 5)),
        ("", None),
        ("12", None),
        ("[]", None),
        ("{", None),
        ("{}", None),
        ('{"pid": null, "host": "h", "since": 5}', None),
        ('{"pid": [], "host": "h", "since": 5}', None),
        ("\xff\xfe", None),
    ],
)
def test_read_holder_believes_nothing(path: Path, text: str, expected: Holder | None) -> None:
    path.write_bytes(text.encode("latin-1"))
    assert read_holder(path) == expected


@pytest.mark.parametrize("text", ["", "{}", '{"pid": 1, "host": "h", "since": 99999999999999999999999999}'])
def test_refusal_survives_an_unreadable_signature(path: Path, text: str) -> None:
    release = hold(path)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SchedulerRunning):
        hold(path)
    release()
