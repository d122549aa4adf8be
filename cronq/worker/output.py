"""The log of one attempt: kept within its cap while the command prints, and brought into its final form.

The command writes straight into the file. Whoever watches over the attempt takes the middle out of it now and
then, by punching a hole (fallocate(2); ext4, xfs, btrfs, tmpfs): neither the command nor its position in the
file notices. Where holes cannot be made the file is cut off after its head, and says so; the command appends
on. When all of its processes are gone, a log that was cut, or that holds secret values, is written anew:
head, one line about the cut, tail, with the values masked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from cronq.masking import NO_SECRETS, Masker
from cronq.model import AttemptEnd, Claim
from cronq.store.location import Place
from cronq.worker.cap import FIRST_LOOK_S, INCOMPLETE, Cap, marker, next_look_s
from cronq.worker.environment import secrets_now
from cronq.worker.files import open_private
from cronq.worker.spool import Log

MOST_REWRITTEN = 1024**3
"""What is larger stays as it is: to write it anew would take longer than anybody waits for an end."""
_CHUNK = 1024 * 1024
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # linux/falloc.h
_NO_HOLES = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV})


class Output:
    """What one attempt prints.

    Attributes:
        look_at: When to call `look`, monotonic; None: not because of time.
        masker: Knows the secret values of the attempt.
        is_settled: The log could be given its name.
    """

    def __init__(self, log: Log, limit: int | None, now: float, masker: Masker = NO_SECRETS) -> None:
        """Begin to look after a log.

        Args:
            log: Need not be there yet.
            limit: `Definition.max_output`.
            now: Monotonic seconds.
            masker: See above.
        """
        self._log = log
        self.is_settled = True
        self._limit = limit
        self._looked = now
        self._size = 0
        self._punched_to = 0
        self._lost = 0
        self._was_full = False
        self.look_at = None if limit is None else now + FIRST_LOOK_S
        self.masker = masker

    def look(self, now: float) -> None:
        """Take out what is too much, if it is time to look."""
        if self.look_at is None or now < self.look_at or self._limit is None:
            return
        waited_s, self._looked = now - self._looked, now
        path = self._log.path
        try:
            size = os.lstat(path).st_size
            space = os.statvfs(path)
        except OSError:
            self.look_at = now + 2 * waited_s
            return
        self._was_full = self._was_full or _is_full(space)
        cap = Cap(self._limit)
        hole = cap.hole(size, self._punched_to)
        if hole is not None:
            with contextlib.suppress(OSError):
                self._take_out(path, cap, hole)
        grown, self._size = max(0, size - self._size), size
        free = space.f_bfree * space.f_frsize
        room = cap.room(size, self._punched_to)
        self.look_at = now + next_look_s(room=room, free=free, grown=grown, waited_s=waited_s)

    def concluded(self, end: AttemptEnd) -> AttemptEnd:
        """Return the end of the attempt with what is known of its output."""
        if self.masker:
            end = end._replace(reason=self.masker.text(end.reason))
        path = self._log.path
        try:
            size = os.lstat(path).st_size
            self._was_full = self._was_full or _is_full(os.statvfs(path))
        except FileNotFoundError:
            return end
        except OSError:
            self.is_settled = False
            return end
        try:
            self._log.settle(is_needed=size > 0 or bool(end.survivors))
        except OSError:
            self._was_full = True
            self.is_settled = False
        if self._was_full and end.started_at is not None:
            end = end._replace(reason=f"{end.reason}; {INCOMPLETE}" if end.reason else INCOMPLETE)
        self._size = size
        return end._replace(output_bytes=size - len(self._note()) + self._lost)

    @property
    def is_long_to_finish(self) -> bool:
        """Whether `finish` may take so long that the end should be safe before."""
        return self._cut() is not None or (bool(self.masker) and self._size > _CHUNK)

    def finish(self) -> None:
        """Bring the log into its final form; only when nobody writes into it any more, after `concluded`.

        Once more does no harm.

        Dies: The new file is renamed into place when it is complete. Until then readers of the old one see
        the same, because they know holes and mask values themselves.
        """
        cut = self._cut()
        if cut is None and not self.masker:
            return
        try:
            is_final = _rewrite(Path(self._log.path), self._limit, cut, self.masker)
        except OSError:
            is_final = False
        if not is_final and self.masker:
            with contextlib.suppress(OSError):
                _mask_in_place(Path(self._log.path), cut, self.masker)

    def finish_after(self, end: AttemptEnd) -> None:
        """Do what the worker may have been killed before, or while, doing: it left this end."""
        with contextlib.suppress(OSError):
            self._size = os.lstat(self._log.path).st_size
            if not end.survivors:
                self.finish()

    def _cut(self) -> tuple[int, int] | None:
        if self._limit is None or self._lost:
            return None
        return Cap(self._limit).cut(self._size)

    def _take_out(self, path: str, cap: Cap, hole: tuple[int, int]) -> None:
        fd = open_private(path, os.O_RDWR | os.O_APPEND)
        try:
            if not self._lost:
                try:
                    punch_hole(fd, *hole)
                    self._punched_to = hole[1]
                    return
                except OSError as error:
                    if error.errno not in _NO_HOLES:
                        raise
            self._cut_off(fd, cap)
        finally:
            os.close(fd)

    def _cut_off(self, fd: int, cap: Cap) -> None:
        """Keep the head alone. What is printed in this instant is lost, too, hence `at least`."""
        self._lost += os.fstat(fd).st_size - cap.head - len(self._note())
        os.ftruncate(fd, cap.head)
        os.write(fd, self._note())

    def _note(self) -> bytes:
        """Return what stands behind the head of a log that was cut off."""
        if not self._lost or self._limit is None:
            return b""
        return f"\n{marker(self._lost, self._limit, at_least=True)}\n".encode()


def output_of(claim: Claim, place: Place, now: float, environ: Mapping[str, str] = os.environ) -> Output:
    """Return the output of an attempt for those who are not its worker; see `Output`."""
    definition = claim.definition
    masker = secrets_now(definition, environ)
    return Output(Log(place, claim.key, claim.worker), definition.max_output, now, masker)


def settled(end: AttemptEnd, output: Output) -> AttemptEnd:
    """Return the end with what is known of the output, whose log gets its final form if that can be."""
    end = output.concluded(end)
    if not end.survivors:
        output.finish()
    return end


def punch_hole(fd: int, start: int, end: int) -> None:
    """Give the bytes from `start` to `end` of a file back to the file system; they read as zeros.

    Raises:
        OSError: It cannot be done; EOPNOTSUPP: not on this file system, or not on this kind of machine.
    """
    import ctypes

    try:
        fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    except AttributeError:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP)) from None
    offset = ctypes.c_int64
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, offset, offset)
    if fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, start, end - start) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _is_full(space: os.statvfs_result) -> bool:
    # Some file systems, such as a tmpfs without a size, do not say how large they are.
    return space.f_blocks > 0 and (space.f_bfree if os.geteuid() == 0 else space.f_bavail) == 0


def _rewrite(path: Path, limit: int | None, cut: tuple[int, int] | None, masker: Masker) -> bool:
    """Return whether the log has its final form now; if not, there is no space for it, or it is too large."""
    with os.fdopen(open_private(path, os.O_RDONLY), "rb", buffering=0) as old:
        info = os.fstat(old.fileno())
        space = os.statvfs(path)
        kept = info.st_size if cut is None else info.st_size - (cut[1] - cut[0])
        if kept > min(MOST_REWRITTEN, space.f_bavail * space.f_frsize):
            return False
        fd = old.fileno()
        if cut is None and not _holds_secrets(fd, info.st_size, masker):
            return True
        draft = path.with_suffix(".draft")
        new = open_private(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            # Buffered: it goes on after a short write.
            with os.fdopen(new, "wb", buffering=_CHUNK) as file:
                for piece in _final_form(fd, info.st_size, limit, cut, masker):
                    file.write(piece)
                file.flush()
                os.fsync(new)
            if stat.S_IMODE(info.st_mode) != 0o600:
                draft.chmod(stat.S_IMODE(info.st_mode))
            draft.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise
    return True


def _mask_in_place(path: Path, cut: tuple[int, int] | None, masker: Masker) -> None:
    """Overwrite each value with as many stars, which needs no space."""
    fd = open_private(path, os.O_RDWR)
    try:
        size = os.fstat(fd).st_size
        # What a hole left is more than what would have been kept: holes are whole blocks.
        rest = 0 if cut is None else _data_from(fd, *cut)
        parts = [(0, size)] if cut is None or rest == cut[0] else [(0, cut[0]), (rest, size)]
        for start, end in parts:
            if end - start > MOST_REWRITTEN:
                return
            at, before = start, b""
            for piece in _bytes_of(fd, start, end):
                joined = before + piece
                for first, last in masker.spans(joined):
                    os.pwrite(fd, b"*" * (last - first), at - len(before) + first)
                at += len(piece)
                before = joined[-masker.longest :]
    finally:
        os.close(fd)


def _data_from(fd: int, start: int, otherwise: int) -> int:
    """Return where the hole ends that begins at a position."""
    try:
        return os.lseek(fd, start, os.SEEK_DATA)
    except (AttributeError, OSError):
        return otherwise


def _final_form(
    fd: int, size: int, limit: int | None, cut: tuple[int, int] | None, masker: Masker
) -> Iterator[bytes]:
    stream = masker.stream()
    if cut is not None and limit is not None:
        last = b""
        for piece in _bytes_of(fd, 0, cut[0]):
            last = piece
            yield stream.feed(piece)
        yield stream.cut()
        start = b"" if last.endswith(b"\n") else b"\n"
        yield start + marker(cut[1] - cut[0], limit).encode() + b"\n"
    for piece in _bytes_of(fd, 0 if cut is None else cut[1], size):
        yield stream.feed(piece)
    yield stream.flush()


def _bytes_of(fd: int, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        piece = os.pread(fd, min(_CHUNK, end - start), start)
        if not piece:
            return
        yield piece
        start += len(piece)


def _holds_secrets(fd: int, size: int, masker: Masker) -> bool:
    before = b""
    for piece in _bytes_of(fd, 0, size):
        joined = before + piece
        if masker.mask(joined) is not joined:
            return True
        before = joined[-masker.longest :]
    return False
