"""Values that must not be seen in output: found in bytes as they stream by, and shown as `***`.

Of a value of several lines each line counts too, because output may be indented or prefixed. What is shorter
than `LEAST` is left alone: to mask every `a` would destroy the output and tell the value all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LEAST = 4
"""Characters that a value, or one of its lines, must have to be masked."""
MASK = b"***"


def is_too_short(value: str) -> bool:
    """Return whether a value cannot be masked."""
    return not _parts(value)


def _parts(value: str) -> list[str]:
    lines = [line.strip() for line in value.splitlines()]
    return [part for part in (value.strip(), *lines) if len(part) >= LEAST]


class Masker:
    """Knows the values; true if there are any."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        parts = {part for value in values for part in _parts(value)}
        # The longest first: a value that contains another one is masked as a whole.
        self._texts = sorted(parts, key=lambda part: (-len(part), part))
        self.patterns = tuple(part.encode("utf-8", "surrogateescape") for part in self._texts)
        self.longest = max((len(part) for part in self.patterns), default=0)
        by_length = sorted(self.patterns, key=len, reverse=True)
        self._regex = re.compile(b"|".join(re.escape(part) for part in by_length))

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def mask(self, data: bytes) -> bytes:
        """Return data in which no value is left that is there as a whole."""
        # To look for plain bytes is many times quicker than the expression, and mostly there are none.
        if not any(pattern in data for pattern in self.patterns):
            return data
        return self._regex.sub(MASK, data)

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Return where values begin and end."""
        if not any(pattern in data for pattern in self.patterns):
            return []
        return [match.span() for match in self._regex.finditer(data)]

    def text(self, text: str) -> str:
        """Return text without the values."""
        for part in self._texts:
            text = text.replace(part, MASK.decode())
        return text

    def split(self, data: bytes) -> int:
        """Return where to split data, so that no value lies across, whatever may follow."""
        split = len(data) - self.beginning_in(data)
        if any(pattern in data for pattern in self.patterns):
            for match in self._regex.finditer(data):
                if match.start() >= split:
                    break
                if match.end() > split:
                    split = len(data) - self.beginning_in(data[match.end() :])
        return split

    def beginning_in(self, data: bytes) -> int:
        """Return how many bytes at the end may be the beginning of a value."""
        for length in range(min(self.longest - 1, len(data)), 0, -1):
            end = data[-length:]
            if any(len(pattern) > length and pattern.startswith(end) for pattern in self.patterns):
                return length
        return 0

    def stream(self, *, starts_amid: bool = False) -> MaskedStream:
        """Return a stream of its own; see `MaskedStream`."""
        return MaskedStream(self, starts_amid=starts_amid)


class MaskedStream:
    """Masks data that comes in pieces; what may be the beginning of a value is held back for the next one."""

    def __init__(self, masker: Masker, *, starts_amid: bool = False) -> None:
        """Begin.

        Args:
            masker: With the values.
            starts_amid: The first piece may begin in the middle of a value.
        """
        self._masker = masker
        self._held = b""
        self._is_amid = starts_amid and bool(masker)

    def feed(self, data: bytes) -> bytes:
        """Return what can be shown after this piece."""
        if not self._masker:
            return data
        data = self._held + data
        if self._is_amid:
            if len(data) < self._masker.longest:
                self._held = data
                return b""
            data = self._without_rest(data)
        split = self._masker.split(data)
        self._held = data[split:]
        return self._masker.mask(data[:split])

    def flush(self) -> bytes:
        """Return what was held back, at the end or at a cut: masked if so much of a value is seen."""
        data, self._held = self._held, b""
        if self._is_amid:
            data = self._without_rest(data)
        data = self._masker.mask(data)
        kept = self._masker.beginning_in(data)
        return data[: len(data) - kept] + MASK if kept >= LEAST else data

    def cut(self) -> bytes:
        """Take note that the next piece may begin in the middle of a value; else as `flush`."""
        data = self.flush()
        self._is_amid = bool(self._masker)
        return data

    def _without_rest(self, data: bytes) -> bytes:
        self._is_amid = False
        for length in range(min(self._masker.longest, len(data)), LEAST - 1, -1):
            start = data[:length]
            if start in self._masker.patterns:
                return data  # a whole one, of which less may look like the rest of one
            if any(pattern.endswith(start) for pattern in self._masker.patterns):
                return MASK + data[length:]
        return data


NO_SECRETS = Masker()
"""Of most jobs: one for all, because each attempt asks for one."""
