"""The display for a terminal: events scroll by as plain lines, and a footer of a few lines stays below them.

Not full-screen, so that scrolling back shows the log. Rich draws it, without its refresh thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.events import Event, RunningRun, SchedulerStarted, Snapshot
from cronq.model import SECOND, Micros
from cronq.render.events import sentence, subject, tone
from cronq.render.live import is_worth_a_line, shown_tail
from cronq.render.terminal import Terminal
from cronq.render.text import Tone, Word, cut, pad, paint, plain, width_of
from cronq.render.times import duration, span

if TYPE_CHECKING:
    from rich.live import Live

_MOST_RUNNING = 4
_BAR = 8


class TerminalDisplay:
    """Lines above, a footer below."""

    animated = True

    def __init__(self, terminal: Terminal, output: str) -> None:
        self._terminal = terminal
        self._output = output
        self._widest = 0
        self._live: Live | None = None
        self._is_gone = False

    def event(self, event: Event) -> None:
        """Print the lines of an event above the footer."""
        if not is_worth_a_line(event):
            return
        tail = shown_tail(event, self._output)
        self._widest = min(40, max(self._widest, width_of(subject(event))))
        self._print(event_lines(event, tail, self._widest, self._terminal))

    def flush(self) -> None:
        """Do nothing: each line is shown at once."""

    def redraw(self, snapshot: Snapshot) -> None:
        """Draw the footer anew."""
        lines = footer_lines(snapshot, self._terminal.width, ascii_only=self._terminal.ascii_only)
        self._guarded(lines, footer=True)

    def close(self) -> None:
        """Take the footer away."""
        live, self._live = self._live, None
        if live is not None:
            try:
                live.stop()
            except (OSError, ValueError):
                self._is_gone = True

    def _print(self, lines: list[str]) -> None:
        self._guarded(lines, footer=False)

    def _guarded(self, lines: list[str], *, footer: bool) -> None:
        if self._is_gone:
            return
        from rich.text import Text

        text = Text.from_ansi("\n".join(lines))
        text.no_wrap = footer
        try:
            live = self._started()
            if footer:
                live.update(text, refresh=True)
            else:
                live.console.print(text, soft_wrap=True, highlight=False)
        except (OSError, ValueError):
            # The terminal was closed: the scheduler has better things to do than to die of that.
            self._is_gone = True

    def _started(self) -> Live:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            console = Console(
                file=self._terminal.out,
                force_terminal=True,
                no_color=not self._terminal.out_color,
                highlight=False,
                markup=False,
                emoji=False,
            )
            self._live = Live(
                console=console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        return self._live


def event_lines(event: Event, tail: tuple[str, ...], widest: int, terminal: Terminal) -> list[str]:
    """Return `14:05:10  backup #813  FAIL  exit 23 after 4m10s · …`, and the output below it.

    Args:
        event: What happened.
        tail: Lines of output to show.
        widest: Cells for the job and the number of the run.
        terminal: For the zone, the colours and the characters.
    """
    word, rest = sentence(event, tail_follows=bool(tail))
    clock = _clock(event.at, terminal)
    if isinstance(event, SchedulerStarted):
        return [_ascii(rest, terminal)]
    color = terminal.out_color
    about = subject(event)
    parts = [paint(Word(clock, Tone.DIM), color=color)]
    if about:
        parts.append(pad(about, widest))
    if word:
        parts.append(paint(Word(pad(word, 6), tone(event)), color=color))
        parts.append(rest)
    else:
        parts.append(paint(Word(rest, tone(event)), color=color))
    lines = [_ascii("  ".join(parts).rstrip(), terminal)]
    return lines + [f"{' ' * 10}| {plain(line)}" for line in tail]


def _clock(at: Micros, terminal: Terminal) -> str:
    from cronq.clock import datetime_from_us

    return datetime_from_us(at).astimezone(terminal.zone).strftime("%H:%M:%S")


def _ascii(text: str, terminal: Terminal) -> str:
    if not terminal.ascii_only:
        return text
    return text.replace(" · ", ", ").replace(" — ", " - ")


def footer_lines(snapshot: Snapshot, width: int, *, ascii_only: bool = False) -> list[str]:
    """Return the footer: one line about the whole, and one for each of the longest running runs."""
    dash, dot = ("-", ", ") if ascii_only else ("─", " · ")
    parts = [f"running {len(snapshot.running)}/{snapshot.slots}", f"queue {snapshot.queued}"]
    if snapshot.upcoming:
        named = (
            f"{plain(job)} {span(max(0, at - snapshot.at) / SECOND)}" for job, at in snapshot.upcoming[:3]
        )
        parts.append(f"next: {', '.join(named)}")
    head = cut(f"{dash} {dot.join(parts)} {dash}", width, ascii_only=ascii_only)
    head += dash * (min(width, 80) - width_of(head))
    running = (_running_line(run, snapshot.at, ascii_only) for run in snapshot.running[:_MOST_RUNNING])
    lines = [head, *(cut(line, width, ascii_only=ascii_only) for line in running)]
    more = len(snapshot.running) - _MOST_RUNNING
    if more > 0:
        lines.append(f"  and {more} more")
    return lines


def _running_line(run: RunningRun, now: Micros, ascii_only: bool) -> str:
    took = max(0, now - run.started_at) / SECOND
    line = f"  {plain(run.job)} #{run.run_id}  {span(took, units=2)}"
    if not run.expected_s:
        return line
    done = min(_BAR, int(took / run.expected_s * _BAR))
    if ascii_only:
        return f"{line}  [{'#' * done}{'.' * (_BAR - done)}] ~{duration(run.expected_s)}"
    return f"{line}  ▕{'█' * done}{'─' * (_BAR - done)}▏ ~{duration(run.expected_s)}"
