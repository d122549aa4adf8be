"""Writing the output of a run as the reader can bear it: masked, and harmless on a terminal."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Mapping

from cronq.cli._session import Session
from cronq.masking import Masker
from cronq.render.text import plain
from cronq.worker.cap import marker
from cronq.worker.reading import Gap


class OutputWriter:
    """Writes the pieces of one log."""

    def __init__(
        self, session: Session, about: Mapping[str, object], masker: Masker, limit: int | None
    ) -> None:
        """Describe where the pieces come from.

        Args:
            session: Whose standard output it is.
            about: What stands beside the lines in JSON.
            masker: Knows the secret values.
            limit: `Definition.max_output`, for the line in the place of what was cut.
        """
        self._session = session
        self._about = about
        self._stream = masker.stream()
        self._limit = limit
        self._ends_line = True

    def write(self, pieces: Iterable[bytes | Gap], *, whole: bool) -> None:
        """Write all pieces.

        Args:
            pieces: As they come.
            whole: For JSON: one object when all is there, instead of one a line.
        """
        shown = self._shown(pieces)
        terminal = self._session.terminal
        if self._session.options.json:
            self._json(shown, whole=whole)
        elif terminal.out_is_tty:
            for text in _harmless(_decoded(shown)):
                terminal.out.write(text)
                terminal.out.flush()
        else:
            self._raw(shown)

    def _shown(self, pieces: Iterable[bytes | Gap]) -> Iterator[bytes]:
        for piece in pieces:
            if isinstance(piece, Gap):
                yield from self._noted(self._stream.cut())
                start = "" if self._ends_line else "\n"
                yield f"{start}{self._marker(piece)}\n".encode()
            else:
                yield from self._noted(self._stream.feed(piece))
        yield from self._noted(self._stream.flush())

    def _marker(self, gap: Gap) -> str:
        if gap.host is not None:
            return f"[cronq: {gap.length:,} bytes are left out here; what is kept of them is on {gap.host}]"
        return marker(gap.length, self._limit or 0)

    def _noted(self, data: bytes) -> Iterator[bytes]:
        if data:
            self._ends_line = data.endswith(b"\n")
            yield data

    def _raw(self, shown: Iterable[bytes]) -> None:
        out = self._session.terminal.out
        buffer = getattr(out, "buffer", None)
        if buffer is None:
            for text in _decoded(shown):
                out.write(text)
            return
        out.flush()
        for data in shown:
            buffer.write(data)
            buffer.flush()

    def _json(self, shown: Iterable[bytes], *, whole: bool) -> None:
        lines = _lines(_decoded(shown))
        if whole:
            self._session.json({**self._about, "lines": list(lines)})
            return
        for line in lines:
            self._session.json_line({**self._about, "line": line})


def _decoded(shown: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for data in shown:
        yield decoder.decode(data)
    yield decoder.decode(b"", final=True)


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """Yield lines without their ends; only a line feed ends one."""
    parts: list[str] = []  # joined once: a line may be as long as the whole output
    for text in texts:
        first, *rest = text.split("\n")
        parts.append(first)
        for line in rest:
            yield "".join(parts)
            parts = [line]
    if last := "".join(parts):
        yield last


def _harmless(texts: Iterable[str]) -> Iterator[str]:
    """Yield text for a terminal: control characters are shown, not obeyed."""
    held = ""
    for text in texts:
        together = held + text
        # It may be half of an end of line.
        held = "\r" if together.endswith("\r") else ""
        yield plain(together[: len(together) - len(held)].replace("\r\n", "\n"), keep="\n\t")
    yield plain(held)
