"""Command lines of systemd: prefixes, quotes, specifiers and variables, and the argv or shell line for them.

systemd starts programs without a shell, yet puts in variables itself: `${NAME}` within a word, `$NAME` alone
as words. A line with any becomes a shell line that does just that; one without becomes an argv.

Source: systemd.service(5), "Command lines"; systemd.unit(5), "Specifiers".
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import NamedTuple

_PREFIXES = "@-:+!|"
_VARIABLE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)")


class ExecError(ValueError):
    """A command line cannot be taken over; the text says why."""


class ExecLine(NamedTuple):
    """A command.

    Attributes:
        prefixes: The signs before it.
        words: Its argv, with `$` as they stand.
    """

    prefixes: str
    words: tuple[str, ...]

    @property
    def has_variables(self) -> bool:
        """Whether systemd puts variables in, or takes one of two `$`."""
        return ":" not in self.prefixes and any(_VARIABLE.search(word) for word in self.words)

    @property
    def shell(self) -> str:
        """The same as a shell line."""
        line = " ".join(self._word(word) for word in self.words)
        return f"{{ {line} || true; }}" if "-" in self.prefixes else line

    def _word(self, word: str) -> str:
        if ":" in self.prefixes or not _VARIABLE.search(word):
            return shlex.quote(word)
        whole = _VARIABLE.fullmatch(word)
        if whole and whole[2]:
            return word  # `$NAME` alone is split into words, by systemd as by a shell
        parts, at = [], 0
        for found in _VARIABLE.finditer(word):
            parts.append(_quoted(word[at : found.start()]))
            braced = f"${{{found[1]}}}" if found[1] else "\\$" + (found[2] or "")
            parts.append(braced)
            at = found.end()
        return '"' + "".join(parts) + _quoted(word[at:]) + '"'


def _quoted(text: str) -> str:
    return re.sub(r'([\\"`$])', r"\\\1", text)


def read_exec(text: str, specifiers: Mapping[str, str]) -> ExecLine:
    """Return the command of `ExecStart=`.

    Args:
        text: After the `=`.
        specifiers: What each letter after a `%` stands for.

    Raises:
        ExecError: A quote is open, or a specifier is not known here.
    """
    prefixes = text[: len(text) - len(text.lstrip(_PREFIXES))]
    try:
        words = shlex.split(text[len(prefixes) :], posix=True)
    except ValueError as error:
        raise ExecError(str(error).lower()) from None
    if not words:
        raise ExecError("there is no command")
    if "@" in prefixes:
        if len(words) < 2:
            raise ExecError("`@` needs a program, and the name it is told")
        del words[1]
    return ExecLine(prefixes, tuple(filled(word, specifiers) for word in words))


def filled(text: str, specifiers: Mapping[str, str]) -> str:
    """Return a text with its specifiers replaced. Raises: ExecError: One is not known here."""

    def put(found: re.Match[str]) -> str:
        if found[1] == "%":
            return "%"
        if found[1] not in specifiers:
            raise ExecError(f"what `%{found[1]}` stands for is known to systemd alone")
        return specifiers[found[1]]

    return re.sub(r"%(.?)", put, text)
