"""What is found in somebody else's files: jobs, remarks about differences, and what is wrong."""

from __future__ import annotations

from typing import NamedTuple

from cronq.errors import UsageError

Span = tuple[int, int]


class Place(NamedTuple):
    """Where something stands.

    Attributes:
        label: The file, as it is called in what is told.
        line: From 1; 0: the file as a whole.
        text: The line; empty if it is not to be shown.
        span: The part of the line that is meant.
    """

    label: str
    line: int = 0
    text: str = ""
    span: Span = (0, 0)

    @property
    def words(self) -> str:
        """The file and the line, in words."""
        return f"{self.label} line {self.line}" if self.line else self.label

    def at(self, span: Span) -> Place:
        """Return the place of another part of the line."""
        return self._replace(span=span)

    def error(self, message: str, hint: str = "") -> UsageError:
        """Return an error that points here."""
        if not self.line:
            return UsageError(f"{self.label}: {message}", hint=hint)
        where = f"{self.label}:{self.line}:{self.span[0] + 1}"
        if not self.text:
            return UsageError(f"{where}: {message}", hint=hint)
        return UsageError(f"{where}: {message}", hint=hint, text=self.text, span=self.span)


class Remark(NamedTuple):
    """Something that is, or may be, different under cronq.

    Attributes:
        about: What it is about, in one word that does not change: `mail`, `zone`, `stdin` …
        message: What is so in the file, and what it becomes.
        hint: What to do if that is not wanted.
        job: The name of the job that it is about; empty: all of them.
    """

    place: Place
    about: str
    message: str
    hint: str = ""
    job: str = ""


class Found(NamedTuple):
    """A job.

    Attributes:
        values: Its table in a `cronq.toml`.
        places: Where single keys of it come from.
    """

    name: str
    place: Place
    values: dict[str, object]
    places: dict[str, Place]


class Problem(NamedTuple):
    """Something that cannot be imported."""

    place: Place
    error: UsageError


class Findings(NamedTuple):
    """All that a file, or a folder, holds."""

    label: str
    jobs: list[Found]
    remarks: list[Remark]
    problems: list[Problem]
