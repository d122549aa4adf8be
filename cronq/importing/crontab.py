"""The lines of a crontab: variables, entries and comments, as cron itself reads them.

Source: crontab(5) of Debian's cron and of cronie, and their readers of entries and of variables. Where the
two differ, both are served, and a remark says so. What neither accepts is a problem, although cronq's own
schedules could say it: a line that cron refuses has never run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cronq.importing.crontab_env import read_variable
from cronq.importing.crontab_fields import BadField, read_fields, read_nickname
from cronq.importing.crontab_input import split_input
from cronq.importing.found import Place, Problem, Remark, Span

_BLANKS = " \t"
_NAMED = re.compile(r"#\s*name:\s*(\S+)\s*$", re.I)
_FLAG = re.compile(r"-([nqs])[ \t]+")
DEBIAN_LIMIT = 998
"""Characters of a command beyond which Debian's cron cuts it off without a word."""


class Entry(NamedTuple):
    """A line with a schedule and a command.

    Attributes:
        schedule: As cronq writes it; its place points at the original.
        user: Of a system crontab.
        command: What the shell gets.
        stdin: What the command reads; None: nothing.
        variables: In force here, in the order in which they were set.
        name: From a comment `# name: x` above it.
        single: No second one is to be started while one runs (`-s` of OpenBSD).
    """

    place: Place
    schedule: str
    schedule_place: Place
    command: str
    command_place: Place
    stdin: str | None
    variables: Mapping[str, str]
    user: str | None = None
    user_place: Place | None = None
    name: str | None = None
    single: bool = False


class Crontab(NamedTuple):
    """What stands in a crontab."""

    entries: list[Entry]
    remarks: list[Remark]
    problems: list[Problem]


def read_crontab(data: bytes, label: str, *, has_users: bool) -> Crontab:
    """Return what stands in a crontab.

    Args:
        data: The file.
        label: What it is called in what is told.
        has_users: Whether the sixth field is a user, as in /etc/crontab and /etc/cron.d.
    """
    return _Reader(label, has_users).read(data)


class _Reader:
    def __init__(self, label: str, has_users: bool) -> None:
        self._label = label
        self._has_users = has_users
        self._variables: dict[str, str] = {}
        self._found = Crontab([], [], [])
        self._name: str | None = None

    def read(self, data: bytes) -> Crontab:
        for number, raw, is_ended in _lines(data):
            self._line(number, raw, is_ended)
        return self._found

    def _line(self, number: int, raw: bytes, is_ended: bool) -> None:
        text = raw.decode("utf-8", "surrogateescape")
        place = Place(self._label, number, text)
        has_return = text.endswith("\r")
        text = text.removesuffix("\r")
        start = len(text) - len(text.lstrip(_BLANKS))
        if start == len(text):
            return
        if text[start] == "#":
            named = _NAMED.match(text[start:])
            self._name = named[1] if named else self._name
            return
        wrong = _unreadable(raw)
        try:
            if wrong is not None:
                raise _Wrong((start, len(text)), *wrong)
            variable = read_variable(text[start:])
            if variable is not None:
                self._variable(place, *variable)
                return
            if _looks_like_variable(text):
                raise _Wrong((start, len(text)), "a variable whose quotes do not match", _QUOTES)
            self._entry(place._replace(text=text), start)
        except _Wrong as error:
            # What is not UTF-8 cannot be shown, and a line of variables may hold a secret.
            shown = "" if wrong is not None or _looks_like_variable(text) else text
            at = Place(self._label, number, shown, error.span)
            self._found.problems.append(Problem(at, at.error(error.message, error.hint)))
            self._name = None
            return
        if has_return:
            self._remark(
                place, "line-end", "ends with CR LF: cron hands the CR to the command; it is taken off"
            )
        if not is_ended:
            self._remark(
                place,
                "line-end",
                "the last line has no line end: cron passes over such a line; it is taken",
                "leave it out if it was never meant to run",
            )

    def _variable(self, place: Place, name: str, value: str) -> None:
        self._variables = {**self._variables, name: value}
        for remark in _about_variable(place._replace(text=""), name, value):
            self._found.remarks.append(remark)

    def _entry(self, place: Place, start: int) -> None:
        text = place.text
        name, self._name = self._name, None
        at = start
        if text[at] == "-":
            at += 1
            self._remark(place, "log", "`-` keeps cron from logging the start; cronq's ledger has every run")
        schedule, notes, end = _schedule(text, at)
        schedule_place = place.at((at, end))
        for about, message, hint in notes:
            self._remark(schedule_place, about, message, hint)
        at = _skip(text, end)
        user, user_place = None, None
        if self._has_users:
            end = _word_end(text, at)
            user, user_place = text[at:end], place.at((at, end))
            at = _skip(text, end)
            if not user or at >= len(text):
                raise _Wrong((start, len(text)), "no command", _HAS_USERS)
        single = False
        while flag := _FLAG.match(text, at):
            single = single or flag[1] == "s"
            self._remark(place.at(flag.span()), "flag", _FLAGS[flag[1]])
            at = flag.end()
        if at >= len(text):
            raise _Wrong((start, len(text)), "no command", "after the five fields comes the command")
        if text[at] == "*":
            raise _Wrong((at, at + 1), "a sixth `*`", "cron's fields are five; there are no seconds")
        command, stdin = split_input(text[at:])
        if not command.strip():
            raise _Wrong((at, len(text)), "no command before the `%`", "`\\%` is a `%` that belongs to it")
        command_place = place.at((at, len(text)))
        self._about_command(command_place, text[at:], command, stdin)
        self._found.entries.append(
            Entry(
                place,
                schedule,
                schedule_place,
                command,
                command_place,
                stdin,
                self._variables,
                user,
                user_place,
                name,
                single,
            )
        )

    def _about_command(self, place: Place, written: str, command: str, stdin: str | None) -> None:
        if stdin is not None:
            self._remark(
                place, "stdin", "what stands after the `%` is its standard input; printf hands it over"
            )
        if "\\\\" in written[: len(command) + 1]:
            self._remark(place, "backslash", "cron makes one `\\` of two; so is it taken")
        if len(written) > DEBIAN_LIMIT:
            self._remark(
                place,
                "length",
                f"{len(written)} characters: Debian's cron cuts at {DEBIAN_LIMIT}; all of it is taken",
            )

    def _remark(self, place: Place, about: str, message: str, hint: str = "") -> None:
        self._found.remarks.append(Remark(place, about, message, hint))


class _Wrong(Exception):
    def __init__(self, span: Span, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.span, self.message, self.hint = span, message, hint


_QUOTES = "cron takes NAME=value, NAME=\"value\" or NAME='value', and nothing behind it"
_HAS_USERS = "a line of a system crontab is: five fields, a user, the command"
_FLAGS = {
    "n": "`-n` mails only what fails; cronq mails nothing: `cronq runs` and `cronq logs` show it",
    "q": "`-q` keeps cron from logging the start; cronq's ledger has every run",
    "s": "`-s` lets only one run at a time; it becomes overlap skip",
}


def _lines(data: bytes) -> Iterator[tuple[int, bytes, bool]]:
    lines = data.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if number < len(lines) or line:
            yield number, line, number < len(lines)


def _unreadable(raw: bytes) -> tuple[str, str] | None:
    if b"\0" in raw:
        return "the line holds a null character", "is it a text file?"
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return "the line holds bytes that are not UTF-8", "save the file as UTF-8, or call a script"
    return None


def _looks_like_variable(text: str) -> bool:
    return re.match(r"\s*[\"']?[A-Za-z_][A-Za-z0-9_]*[\"']?\s*=", text) is not None


def _schedule(text: str, at: int) -> tuple[str, list[tuple[str, str, str]], int]:
    try:
        if text[at : at + 1] == "@":
            return read_nickname(text, at)
        return read_fields(text, at)
    except BadField as error:
        raise _Wrong(error.span, error.message, error.hint) from None


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANKS:
        at += 1
    return at


def _word_end(text: str, at: int) -> int:
    while at < len(text) and text[at] not in _BLANKS:
        at += 1
    return at


def _about_variable(place: Place, name: str, value: str) -> Iterator[Remark]:
    if name in ("MAILTO", "MAILFROM"):
        if name == "MAILTO" and not value:
            message = "MAILTO is empty: cron mails nothing; neither does cronq, and it keeps the output"
        else:
            message = f"{name}: cronq mails nobody; it keeps the output of every run"
        hint = "what failed: cronq runs; what it printed: cronq logs NAME; to be told, pipe `… || mail`"
        yield Remark(place, "mail", message, hint if value else "")
    elif name == "CRON_TZ":
        yield Remark(
            place,
            "zone",
            "CRON_TZ becomes the zone of the jobs below it, as cronie has it; Debian's cron passes over it",
        )
    elif name == "TZ":
        yield Remark(place, "zone", "TZ is a variable of the command alone: it does not move the schedule")
    elif name in ("LOGNAME", "USER"):
        yield Remark(place, "variable", f"{name} cannot be set in a crontab; it is left out, as cron does")
    elif name == "RANDOM_DELAY":
        yield Remark(place, "jitter", "RANDOM_DELAY becomes the jitter of the jobs below it")
    elif re.search(r"\$[A-Za-z_{(]", value) or (name == "HOME" and value.startswith("~")):
        yield Remark(
            place,
            "variable",
            f"{name} holds a `$` or `~`, which cron does not expand; neither does cronq",
            "write what it stands for",
        )
