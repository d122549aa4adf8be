"""Displays for `cronq run`: the same events for a terminal, a pipe, the systemd journal, or a program.

None of them has a thread of its own: the scheduler tells events as they happen, and asks for a redraw when it
wakes. A display must never end the scheduler, so a stream that is gone (a closed terminal, a reader that
left) silences the display and nothing more.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Protocol, TextIO

from cronq.events import AttemptFinished, Event, RunQueued, Snapshot
from cronq.model import Outcome
from cronq.render.events import kind_of, pairs_of, severity
from cronq.render.terminal import Terminal
from cronq.render.text import plain
from cronq.render.times import iso

_MOST_LINES = 1000
_PRIORITIES = {"error": 3, "warning": 4, "notice": 5, "info": 6}  # sd-daemon(3)


class Display(Protocol):
    """Shows what a scheduler does.

    Attributes:
        animated: Whether `redraw` draws anything, and is worth a wake-up each second.
    """

    animated: bool

    def event(self, event: Event) -> None:
        """Show an event."""

    def flush(self) -> None:
        """Let be seen what was shown: the scheduler is about to sleep."""

    def redraw(self, snapshot: Snapshot) -> None:
        """Draw the present state over the former."""

    def close(self) -> None:
        """Take away what is not to stay."""


def make_display(log_format: str, output: str, terminal: Terminal) -> Display:
    """Return the display that suits the surroundings.

    Args:
        log_format: `auto`, `text` (lines of `key=value`) or `json`.
        output: Whose last lines to show: those that `fail`, `all`, or `none`.
        terminal: The streams, and what they are.
    """
    if log_format == "json":
        return JsonDisplay(terminal.out, output)
    if log_format == "auto" and terminal.animated:
        from cronq.render.footer import TerminalDisplay

        return TerminalDisplay(terminal, output)
    if log_format == "auto" and terminal.journal:
        return JournalDisplay(terminal.err, output)
    return TextDisplay(terminal.out, output)


def shown_tail(event: Event, output: str) -> tuple[str, ...]:
    """Return the lines of output to show with an event."""
    if not isinstance(event, AttemptFinished) or output == "none":
        return ()
    if output == "fail" and event.outcome is Outcome.SUCCESS:
        return ()
    return event.tail


class _LineDisplay:
    """A display that writes lines."""

    animated = False

    def __init__(self, stream: TextIO, output: str) -> None:
        self._stream: TextIO | None = stream
        self._output = output
        self._lines: list[str] = []

    def redraw(self, snapshot: Snapshot) -> None:
        """Draw nothing: lines stay."""

    def close(self) -> None:
        """Flush what is left."""
        self.flush()

    def flush(self) -> None:
        """Write what was told since the last time: a write for each line costs more than the line."""
        lines, self._lines = self._lines, []
        if self._stream is None:
            return
        try:
            self._stream.write("".join(lines))
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None

    def _write(self, text: str) -> None:
        self._lines.append(text)
        if len(self._lines) >= _MOST_LINES:
            self.flush()


class TextDisplay(_LineDisplay):
    """One line an event for pipes and log files: ISO time, then `key=value`."""

    def event(self, event: Event) -> None:
        """Write one line, and the output below it."""
        lines = [f"{iso(event.at)} {self.fields(event)}"]
        lines += [
            f"{iso(event.at)} output run={getattr(event, 'run_id', '')} {_quoted(line)}"
            for line in self.tail(event)
        ]
        self._write("".join(f"{line}\n" for line in lines))

    def tail(self, event: Event) -> tuple[str, ...]:
        """Return the lines of output to show."""
        return shown_tail(event, self._output)

    def fields(self, event: Event) -> str:
        """Return `attempt_finished job=backup run_id=813 …`; what does not apply is left out."""
        words = [kind_of(event)]
        for name, value in pairs_of(event):
            if type(value) is int:
                words.append(f"{name}={value}")
            elif value is not None and value != "" and value != []:
                words.append(f"{name}={_value(value)}")
        return " ".join(words)


class JournalDisplay(TextDisplay):
    """For systemd: a priority in front, and no time, which the journal stamps itself."""

    def event(self, event: Event) -> None:
        """Write one line, and the output below it, all with the priority of the event."""
        mark = f"<{_PRIORITIES[severity(event)]}>"
        lines = [f"{mark}{self.fields(event)}"]
        lines += [
            f"{mark}output run={getattr(event, 'run_id', '')} {_quoted(line)}" for line in self.tail(event)
        ]
        self._write("".join(f"{line}\n" for line in lines))


class JsonDisplay(_LineDisplay):
    """One JSON object a line, with all fields of the event."""

    def event(self, event: Event) -> None:
        """Write one object."""
        document: dict[str, object] = {"schema": 1, "event": kind_of(event), "at": iso(event.at)}
        document.update(pairs_of(event))
        document["severity"] = severity(event)
        if isinstance(event, AttemptFinished):
            document["tail"] = list(shown_tail(event, self._output))
        self._write(json.dumps(document) + "\n")


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return _quoted(",".join(str(item) for item in value))
    return _word(str(value))


@lru_cache(maxsize=256)
def _word(text: str) -> str:
    """Return a text as a log line holds it; names of jobs and outcomes come again and again."""
    return text if text and not set(text) & set(' "=\\') and text.isprintable() else _quoted(text)


def _quoted(text: str) -> str:
    return json.dumps(plain(text), ensure_ascii=False)


def is_worth_a_line(event: Event) -> bool:
    """Return whether a person wants to read it: that a run was queued is told by its start."""
    return not isinstance(event, RunQueued)
