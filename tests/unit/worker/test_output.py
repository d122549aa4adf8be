"""Logs that are kept within a cap: holes, what follows where there can be none, the final form, readers."""

from __future__ import annotations

import errno
import os
import random
import resource
from pathlib import Path

import pytest

from cronq.masking import NO_SECRETS, Masker
from cronq.model import AttemptEnd, Outcome
from cronq.worker import output as output_module
from cronq.worker.cap import FIRST_LOOK_S, MOST_S
from cronq.worker.files import open_private, tail_lines
from cronq.worker.output import Output
from cronq.worker.reading import Gap, LogReader
from tests.unit.worker.rig import log_at

KIB = 1024
LIMIT = 64 * KIB
END = AttemptEnd((1, 1), Outcome.SUCCESS, 99, started_at=50)


class Log:
    """A log that a command appends to, on a clock that stands still."""

    def __init__(self, path: Path, limit: int | None = LIMIT, masker: Masker = NO_SECRETS) -> None:
        self.path = path
        self.fd = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.now = 0.0
        self.written = b""
        self.output = Output(log_at(path), limit, self.now, masker)

    def print(self, data: bytes) -> None:
        assert os.write(self.fd, data) == len(data)
        self.written += data

    def look(self) -> None:
        """Let the time come to look."""
        assert self.output.look_at is not None
        self.now = self.output.look_at
        self.output.look(self.now)

    def finish(self) -> AttemptEnd:
        end = self.output.concluded(END)
        self.output.finish()
        return end

    @property
    def blocks(self) -> int:
        """Bytes that the file takes."""
        return self.path.stat().st_blocks * 512


@pytest.fixture
def log(tmp_path: Path) -> Log:
    found = Log(tmp_path / "1.1.log")
    needs_holes(found.path)
    return found


def needs_holes(path: Path) -> None:
    probe = path.with_suffix(".probe")
    probe.write_bytes(b"x" * 8192)
    with probe.open("r+b") as file:
        try:
            output_module.punch_hole(file.fileno(), 0, 4096)
        except OSError:
            pytest.skip("this file system cannot make holes")
        finally:
            probe.unlink()


def lines(count: int, start: int = 0) -> bytes:
    return b"".join(b"line %08d\n" % number for number in range(start, start + count))


def read(path: Path, limit: int | None = LIMIT) -> list[bytes | Gap]:
    with path.open("rb") as file:
        return list(LogReader(file.fileno(), limit).pieces())


def joined(pieces: list[bytes | Gap]) -> bytes:
    return b"".join(piece if isinstance(piece, bytes) else b"<%d>" % piece.length for piece in pieces)


def test_log_within_its_cap_is_left_alone(log: Log) -> None:
    log.print(lines(100))
    log.look()
    before = log.path.stat()
    end = log.finish()
    assert (end.output_bytes, end.reason) == (len(log.written), "")
    assert log.path.read_bytes() == log.written
    assert log.path.stat().st_ino == before.st_ino


def test_middle_is_taken_out_while_the_command_prints(log: Log) -> None:
    for _ in range(40):
        log.print(lines(4000))
        log.look()
        assert log.blocks <= LIMIT + LIMIT // 8 + 4096
    size = len(log.written)
    assert log.path.stat().st_size == size
    head, gap, *tail = read(log.path)
    assert head == log.written[: LIMIT // 2]
    assert isinstance(gap, Gap)
    assert joined(tail) == log.written[len(head) + gap.length :]
    assert len(joined(tail)) >= LIMIT // 2


def test_final_form_is_head_marker_and_tail(log: Log) -> None:
    log.print(lines(100_000))
    log.look()
    end = log.finish()
    data = log.path.read_bytes()
    head, marker, tail = data.partition(b"\n[cronq: ")
    text, _, tail = tail.partition(b"\n")
    assert marker
    cut = len(log.written) - len(head) - len(tail)
    assert text.decode() == f"{cut:,} bytes were cut here (--max-output 64K)]"
    assert log.written.startswith(head)
    assert log.written.endswith(tail)
    assert LIMIT - 256 < len(data) <= LIMIT
    assert end.output_bytes == len(log.written)
    assert log.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in log.path.parent.iterdir()] == [log.path.name]
    log.output.finish_after(end)
    assert log.path.read_bytes() == data


def test_command_that_ends_before_the_first_look_is_cut_all_the_same(log: Log) -> None:
    log.print(lines(100_000))
    log.finish()
    assert len(log.path.read_bytes()) <= LIMIT


def test_log_stays_whole_without_a_cap(tmp_path: Path) -> None:
    log = Log(tmp_path / "1.1.log", None)
    assert log.output.look_at is None
    log.print(lines(100_000))
    assert log.finish().output_bytes == len(log.written)
    assert log.path.read_bytes() == log.written


def test_survivors_may_still_write_so_the_file_keeps_its_name_and_its_holes(log: Log) -> None:
    log.print(lines(100_000))
    log.look()
    inode = log.path.stat().st_ino
    log.output.finish_after(END._replace(survivors=("77 stuck",)))
    assert log.path.stat().st_ino == inode
    assert any(isinstance(piece, Gap) for piece in read(log.path))


def test_file_system_without_holes_keeps_the_head_and_says_so(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, start: int, end: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(output_module, "punch_hole", refuse)
    for _ in range(20):
        log.print(lines(4000))
        log.look()
        assert log.path.stat().st_size <= LIMIT + LIMIT // 8 + 256
    log.print(b"the end\n")
    end = log.finish()
    data = log.path.read_bytes()
    head = log.written[: LIMIT // 2]
    assert data.startswith(head + b"\n[cronq: at least ")
    assert data.endswith(b"\nthe end\n")
    assert data.count(b"[cronq: ") == 1
    assert end.output_bytes == len(log.written)


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE])
def test_trouble_with_the_file_does_not_end_the_worker(
    log: Log, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, "no")

    monkeypatch.setattr(output_module, "open_private", fail)
    log.print(lines(100_000))
    log.look()
    assert log.finish().output_bytes == len(log.written)
    assert log.path.read_bytes() == log.written


def test_log_that_is_gone_is_no_trouble(log: Log) -> None:
    log.path.unlink()
    log.look()
    assert log.finish() == END


def test_final_form_for_which_there_is_no_room_leaves_the_log_as_it_is(log: Log) -> None:
    log.print(lines(100_000))
    log.look()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (KIB, before[1]))
    try:
        log.finish()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert any(isinstance(piece, Gap) for piece in read(log.path))
    assert [path.name for path in log.path.parent.iterdir()] == [log.path.name]


def test_first_look_is_soon_and_quiet_commands_are_seldom_looked_at(tmp_path: Path) -> None:
    log = Log(tmp_path / "1.1.log", 64 * KIB * KIB)
    assert log.output.look_at == FIRST_LOOK_S
    looks = 0
    while log.now < 3600:
        log.look()
        looks += 1
    assert looks < 3600 / MOST_S + 10


# Secrets


def test_finished_log_holds_no_secret(tmp_path: Path) -> None:
    log = Log(tmp_path / "1.1.log", masker=Masker(["hunter2"]))
    log.print(b"password=hunter2\nend\n")
    end = log.output.concluded(END._replace(reason="exception: ValueError: hunter2"))
    log.output.finish()
    assert log.path.read_bytes() == b"password=***\nend\n"
    assert end.reason == "exception: ValueError: ***"
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_secret_across_the_cut_and_across_pieces_is_masked(log: Log) -> None:
    secret = "0123456789abcdef" * 4
    log.output.masker = Masker([secret])
    # No multiple of its length fits a block, so that all borders of pieces fall into one.
    log.print(f"{secret}x".encode() * 60_000)
    log.look()
    log.finish()
    shown = log.path.read_text()
    assert "89abcdef" not in shown
    assert "cdef0123" not in shown
    assert set(shown.replace("***", "").replace("x", "").split("\n")[0]) == set()


def test_secrets_are_overwritten_in_place_when_there_is_no_room_for_a_new_file(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bool:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(output_module, "_rewrite", refuse)
    monkeypatch.setattr(output_module, "_CHUNK", 4096)
    log.output.masker = Masker(["hunter2", "hunter2-long"])
    # No multiple of the line's length is a block, so that values lie across the borders of pieces.
    log.print(b"hunter2-long hunter2\n" * 20_000)
    log.look()
    log.finish()
    head, gap, *tail = read(log.path)
    assert isinstance(gap, Gap)
    assert isinstance(head, bytes)
    assert head.startswith(b"************ *******\n" * 1500)
    # What the cut or the hole left of one is masked by whoever shows it.
    assert not [data for data in (head[:-12], joined(tail)[200:]) if b"hunter" in data]
    assert log.path.stat().st_size == len(log.written)


def test_log_without_a_secret_in_it_is_not_written_anew(tmp_path: Path) -> None:
    log = Log(tmp_path / "1.1.log", masker=Masker(["hunter2"]))
    log.print(b"hunter1\n")
    inode = log.path.stat().st_ino
    log.finish()
    assert log.path.stat().st_ino == inode


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"a hunter2 b\n", ("a *** b",)),
        (b"hunter2" + b"x" * 4093, ("er2" + "x" * 4093,)),
        (b"hunter2" + b"x" * 4092, ("***" + "x" * 4092,)),
        (b"correct\nhorse\n", ("***",)),
        (b"> correct\n> horse\n", ("> ***", "> ***")),
    ],
)
def test_last_lines_hold_no_secret(tmp_path: Path, data: bytes, shown: tuple[str, ...]) -> None:
    path = tmp_path / "log"
    path.write_bytes(data)
    assert tail_lines(path, masker=Masker(["hunter2", "correct\nhorse"])) == shown


def test_last_lines_of_a_log_with_a_hole(log: Log) -> None:
    log.print(lines(100_000))
    log.look()
    assert tail_lines(log.path) == ("line 00099997", "line 00099998", "line 00099999")


# Readers


def test_reader_whose_position_was_taken_out_goes_on_behind_the_hole(log: Log) -> None:
    with log.path.open("rb") as file:
        reader = LogReader(file.fileno(), LIMIT)
        log.print(lines(3000))
        before = joined(list(reader.pieces()))
        assert before == log.written
        log.print(lines(50_000, 3000))
        log.look()
        gap, *rest = reader.pieces()
        assert isinstance(gap, Gap)
        assert joined(rest) == log.written[len(before) + gap.length :]
        log.print(b"more\n")
        assert joined(list(reader.pieces())) == b"more\n"
        log.finish()
        assert list(reader.pieces()) == []


def test_reader_never_shows_the_zeros_of_a_hole_made_under_it(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.print(lines(100_000))
    real = os.pread
    looked = False

    def pread(fd: int, length: int, at: int) -> bytes:
        nonlocal looked
        if at > 0 and not looked:
            looked = True
            log.look()
        return real(fd, length, at)

    monkeypatch.setattr(os, "pread", pread)
    shown = read(log.path)
    assert looked
    assert b"\0" not in joined(shown)
    assert any(isinstance(piece, Gap) for piece in shown)


def test_follower_of_a_log_that_is_cut_off_reads_that_it_was(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, start: int, end: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(output_module, "punch_hole", refuse)
    with log.path.open("rb") as file:
        reader = LogReader(file.fileno(), LIMIT)
        log.print(lines(50_000))
        list(reader.pieces())
        log.look()
        log.print(b"more\n")
        assert joined(list(reader.pieces())).split(b"\n")[1].startswith(b"[cronq: at least ")


@pytest.mark.parametrize("count", [0, 1, 3, 2000, 10**6])
def test_last_lines_come_from_the_tail_and_never_across_the_hole(log: Log, count: int) -> None:
    log.print(lines(100_000))
    log.look()
    with log.path.open("rb") as file:
        reader = LogReader(file.fileno(), LIMIT)
        reader.seek_last_lines(count)
        shown = list(reader.pieces())
    if count <= 2000:
        assert joined(shown) == (lines(100_000)[-count * 14 :] if count else b"")
    else:
        assert isinstance(shown[0], Gap)
        assert log.written.endswith(joined(shown[1:]))


def last_lines(data: bytes, count: int) -> bytes:
    return b"".join(data.splitlines(keepends=True)[-count:]) if count else b""


def test_last_lines_are_those_that_a_plain_reading_gives(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    path = tmp_path / "log"
    for _ in range(200):
        data = bytes(rng.choices(b"ab\n", weights=(5, 5, rng.choice((1, 5))), k=rng.randint(0, 300)))
        path.write_bytes(data)
        count = rng.randint(0, 20)
        with path.open("rb") as file:
            reader = LogReader(file.fileno(), None)
            reader.seek_last_lines(count)
            assert joined(list(reader.pieces())) == last_lines(data, count), (data, count)
