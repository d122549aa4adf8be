"""`--blackout`: windows of wall time in which a job does not start.

::

    [mon-fri] [09:00-17:00] : defer | drop
    2026-12-24[..2027-01-02] [18:00-24:00] : defer | drop

A window is open while the clock of the job's zone shows a time inside it, so a gap shortens it and a
repeated hour is inside both times. The end is outside: 09:00-17:00 lets 17:00 pass. A window that
crosses midnight belongs to the day on which it begins.

Fire times stay what they are; the planner asks about each of them what holds it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from cronq.schedule.calendars import date_text
from cronq.schedule.masks import mask_of
from cronq.schedule.pieces import Piece, did_you_mean, joined, printable
from cronq.schedule.readers import read_day, read_tods, read_weekdays
from cronq.schedule.spans import ZoneSpans, spans_of
from cronq.schedule.walls import DAY_S, US

POLICIES = ("defer", "drop")
_HINT = "such as `mon-fri 09:00-17:00:defer`, `02:00-04:00:drop` or `2026-12-24..2027-01-02:drop`"
_MAX_CHARS = 128
_MAX_WINDOWS = 64
_WEEK_S = 7 * DAY_S
# 1970-01-05 was a Monday; weeks are looked at from there.
_MONDAY = 4
_ALL_DAYS = 127


class Hold(NamedTuple):
    """What keeps a fire time from starting.

    Attributes:
        policy: `defer`: it starts when the hold ends; `drop`: it ends as skipped. Where windows of
            both kinds overlap, `drop`.
        ends_us: The first instant that no window holds any more, in microseconds; windows that
            overlap or adjoin are one.
        text: The windows that hold it, as they were written.
    """

    policy: str
    ends_us: int
    text: str


class Window(NamedTuple):
    """One window.

    Attributes:
        text: Normal form.
        weekdays: Bit 0 is Sunday; the days on which it may begin.
        first: The first day number of a window of dates; None for one of weekdays.
        last: The last one.
        opens: Second of the day at which it begins.
        length: Seconds to its end, at most a day.
    """

    text: str
    policy: str
    weekdays: int
    first: int | None
    last: int
    opens: int
    length: int

    def end(self, wall: int) -> int | None:
        """The wall time at which the window around a wall time ends, or None outside of it."""
        day = (wall - self.opens) // DAY_S
        ends = day * DAY_S + self.opens + self.length
        if wall >= ends or not self._is_on(day):
            return None
        # Days that adjoin are one: a window of dates ends with its last one.
        if self.first is not None and self.length == DAY_S:
            return (self.last + 1) * DAY_S + self.opens
        return ends

    def _is_on(self, day: int) -> bool:
        if self.first is not None:
            return self.first <= day <= self.last
        return self.weekdays >> (day + 4) % 7 & 1 == 1


def read_window(text: str) -> Window:
    """The window that a text names.

    Raises:
        ScheduleError: It cannot be read; points at the place.
    """
    if len(text) > _MAX_CHARS:
        cut = text[:_MAX_CHARS]
        raise Piece(cut, 0, len(cut)).error("too long for a blackout window", _HINT)
    whole = Piece(text, 0, len(text)).stripped()
    body, colon, policy = whole.text.rpartition(":")
    if not whole.text:
        raise whole.error("the blackout window is empty", _HINT)
    if not colon or not policy or policy[:1].isdigit():
        raise whole.error(
            f"the window `{printable(whole.text)}` has no policy",
            "say what becomes of a run: `:defer` (it waits for the end) or `:drop` (it is skipped)",
        )
    if policy.lower() not in POLICIES:
        wrong = whole.cut(len(body) + 1, len(body) + 1 + len(policy))
        raise wrong.error(
            f"unknown policy `{printable(policy)}`", did_you_mean(policy, list(POLICIES)) or _HINT
        )
    return _read_body(whole.cut(0, len(body)), policy.lower())


def _read_body(piece: Piece, policy: str) -> Window:
    words = piece.words()
    if not words:
        raise Piece(piece.full, piece.start, piece.end + 1).error(
            "the window has no days and no times", _HINT
        )
    if len(words) > 2:
        raise joined(words[2], words[-1]).error("a window is days, then times", _HINT)
    days = words[0] if len(words) == 2 or ":" not in words[0].text else None
    opens, length = _tods(words[-1]) if days is not words[-1] else (0, DAY_S)
    weekdays, first, last = _ALL_DAYS, None, 0
    if days is not None and days.text[:4].isdigit() and len(days.text) > 4:
        first, last = _dates(days)
    elif days is not None:
        weekdays = mask_of(read_weekdays(days), "")
    text = f"{' '.join(word.text.lower() for word in words)}:{policy}"
    return Window(text, policy, weekdays, first, last, opens, length)


def _tods(piece: Piece) -> tuple[int, int]:
    opens, ends = read_tods(piece)
    if opens == ends:
        raise piece.error(f"the window `{piece.text}` is empty", "for a whole day leave the times out")
    return opens, (ends - opens) % DAY_S or DAY_S


def _dates(piece: Piece) -> tuple[int, int]:
    first_text, dots, last_text = piece.text.partition("..")
    first = read_day(piece.cut(0, len(first_text)))
    if not dots:
        return first, first
    after = len(first_text) + 2
    last = read_day(piece.cut(after, after + len(last_text)))
    if last < first:
        raise piece.error(f"the range {piece.text} goes backwards", "the earlier date stands first")
    return first, last


class Blackouts:
    """All windows of a job, in its zone.

    Args:
        windows: None of them holds a whole week together with the others.
        spans: The zone.
    """

    __slots__ = ("_spans", "windows")

    def __init__(self, windows: tuple[Window, ...], spans: ZoneSpans) -> None:
        self.windows = windows
        self._spans = spans

    def at(self, at_us: int) -> Hold | None:
        """What holds a fire time, or None."""
        second = at_us // US
        wall = second + self._spans.at(second).offset
        holding = [window for window in self.windows if window.end(wall) is not None]
        if not holding:
            return None
        policy = "drop" if any(window.policy == "drop" for window in holding) else "defer"
        holding.sort(key=lambda window: window.policy != policy)
        return Hold(policy, self._end(second) * US, "; ".join(window.text for window in holding))

    def _end(self, second: int) -> int:
        """The first second from a held one on that no window holds."""
        while True:
            span = self._spans.at(second)
            ends = [end for window in self.windows if (end := window.end(second + span.offset)) is not None]
            if not ends:
                return second
            second = min(max(ends) - span.offset, span.end)


@lru_cache(maxsize=1024)
def read_blackouts(texts: tuple[str, ...], tz: str) -> Blackouts:
    """The blackouts that several texts name together.

    Raises:
        ScheduleError: One cannot be read, or together they leave no time; points at the place.
        TimezoneError: There is no such zone.
    """
    windows: list[Window] = []
    for text in texts:
        window = read_window(text)
        whole = Piece(text, 0, len(text)).stripped()
        if len(windows) == _MAX_WINDOWS:
            raise whole.error(f"more than {_MAX_WINDOWS} blackout windows", "join them")
        if window not in windows:
            windows.append(window)
        if _is_always(windows):
            raise whole.error("the blackouts leave no time at all", "pause the job instead")
    return Blackouts(tuple(windows), spans_of(tz))


def _is_always(windows: Iterable[Window]) -> bool:
    """Whether the windows of weekdays hold every second of a week."""
    weekly = [window for window in windows if window.first is None]
    wall = _MONDAY * DAY_S
    ends = wall + _WEEK_S
    while wall < ends:
        found = [end for window in weekly if (end := window.end(wall)) is not None]
        if not found:
            return False
        wall = max(found)
    return True


def spoken(window: Window) -> str:
    """A window in words, after "not"."""
    if window.first is None:
        return window.text.rpartition(":")[0]
    days = f"on {date_text(window.first)}"
    if window.last != window.first:
        days = f"from {date_text(window.first)} to {date_text(window.last)}"
    times = window.text.rpartition(":")[0].partition(" ")[2]
    return f"{days} {times}".rstrip()
