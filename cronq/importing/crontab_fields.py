"""The five fields and the nicknames of crontab(5), strictly, and what cronq writes for them.

cronq's schedules can say more than cron's (`L`, `#`, ranges that go round, a sixth field). All of that is
refused here: cron refuses it too, or reads it in another way.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from cronq.importing.found import Span

Note = tuple[str, str, str]
"""About, message, hint: as in `Remark`."""


class BadField(Exception):
    """A field that cron refuses; what is wrong with it, and where in the line."""

    def __init__(self, span: Span, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.span, self.message, self.hint = span, message, hint


class _Field(NamedTuple):
    label: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def hint(self) -> str:
        named = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.label} is {self.low} to {self.high}{named}"


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field(
        "month",
        1,
        12,
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    ),
    _Field("day of week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
_WEEKDAY = _FIELDS[-1]
_NICKNAMES = {
    "@reboot": "@reboot",
    "@yearly": "@yearly",
    "@annually": "@annually",
    "@monthly": "@monthly",
    "@weekly": "@weekly",
    "@daily": "@daily",
    "@midnight": "@midnight",
    "@hourly": "@hourly",
    # Source: crontab(5) of FreeBSD.
    "@every_minute": "* * * * *",
    "@every_second": "* * * * * *",
}
_WORD = re.compile(r"[^ \t]+")
_ITEM = re.compile(
    r"(?:(?P<star>\*)|(?P<low>[0-9]+|[A-Za-z]+)(?:-(?P<high>[0-9]+|[A-Za-z]+))?)(?P<step>/[0-9]*)?"
)
_RANDOM = re.compile(r"(?P<low>[0-9]+|[A-Za-z]+)?~(?P<high>[0-9]+|[A-Za-z]+)?")
_MOST_DIGITS = 9


def read_nickname(text: str, at: int) -> tuple[str, list[Note], int]:
    """Return what a nickname such as `@daily` becomes, notes about it, and where it ends.

    Raises:
        BadField: cron knows no such nickname.
    """
    found = _WORD.match(text, at)
    assert found is not None, "it begins with `@`"
    word, span = found[0], found.span()
    if word in _NICKNAMES:
        return _NICKNAMES[word], [], span[1]
    known = ", ".join(list(_NICKNAMES)[:8])
    if word.lower() in _NICKNAMES:
        raise BadField(span, f"cron reads `{word}` in lower case only", f"write {word.lower()}")
    if word[1:].isdigit():
        hint = "cronq counts from the clock: write it as a job of its own, with `every`"
        raise BadField(span, f"`{word}` counts from the end of the run before", hint)
    raise BadField(span, f"cron knows no `{word}`", f"known are: {known}")


def read_fields(text: str, at: int) -> tuple[str, list[Note], int]:
    """Return what five fields become, notes about them, and where they end.

    Raises:
        BadField: There are not five, or cron refuses one of them.
    """
    written: list[str] = []
    notes: list[Note] = []
    for field in _FIELDS:
        found = _WORD.search(text, at)
        if found is None:
            raise BadField((len(text), len(text)), f"no {field.label}", "an entry begins with five fields")
        written.append(_read_field(found, field, notes))
        at = found.end()
    return " ".join(written), notes, at


def _read_field(word: re.Match[str], field: _Field, notes: list[Note]) -> str:
    items = []
    at = word.start()
    for part in word[0].split(","):
        span = (at, at + len(part))
        at = span[1] + 1
        if not part:
            comma = (max(word.start(), span[0] - 1), max(word.start(), span[0] - 1) + 1)
            raise BadField(comma, f"an empty item in the {field.label}", "items stand between single commas")
        items.append(_read_item(part, span, field, notes))
    return ",".join(items)


def _read_item(text: str, span: Span, field: _Field, notes: list[Note]) -> str:
    if random := _RANDOM.fullmatch(text):
        return _random(random, span, field, notes)
    found = _ITEM.fullmatch(text)
    if found is None:
        raise BadField(span, f"cron does not read `{text}` as a {field.label}", _why(text) or field.hint)
    if found["step"] is not None:
        _check_step(found, span, field)
    if found["star"]:
        return text
    low = _number(found["low"], _within(span, found.span("low")), field)
    if found["high"] is None:
        return text
    high = _number(found["high"], _within(span, found.span("high")), field)
    if low <= high:
        return text
    if field is _WEEKDAY and high == 0 and found["step"] is None:
        message = f"`{text}` ends with Sunday, as cronie has it; Debian's cron refuses it"
        notes.append(("range", message, ""))
        return f"{low}-7"
    raise BadField(span, f"the range {text} goes backwards: cron never matches it", "write it as two ranges")


def _check_step(found: re.Match[str], span: Span, field: _Field) -> None:
    step = found["step"][1:]
    where = _within(span, found.span("step"))
    if found["low"] is not None and found["high"] is None:
        hint = f"write {found['low']}-{field.high}{found['step']}, or {found['low']}"
        raise BadField(span, f"`{found[0]}` is a step without a range, which cron refuses", hint)
    if not step or len(step) > _MOST_DIGITS:
        raise BadField(where, f"the step in the {field.label} is not a number", "write */5 or 10-30/5")
    if int(step) == 0:
        raise BadField(where, f"a step of 0 in the {field.label}", "steps start at 1")


def _random(found: re.Match[str], span: Span, field: _Field, notes: list[Note]) -> str:
    low, high = field.low, min(field.high, 6) if field is _WEEKDAY else field.high
    if found["low"]:
        low = _number(found["low"], _within(span, found.span("low")), field)
    if found["high"]:
        high = _number(found["high"], _within(span, found.span("high")), field)
    if low > high:
        raise BadField(span, f"the range {found[0]} goes backwards", field.hint)
    message = (
        f"`{found[0]}`: cron chooses a {field.label} each time it reads the crontab; cronq chooses one by the"
        " name of the job, and stays with it"
    )
    notes.append(("random", message, ""))
    return f"H({low}-{high})"


def _number(text: str, span: Span, field: _Field) -> int:
    if text.isdigit():
        if len(text) > _MOST_DIGITS or not field.low <= int(text) <= field.high:
            shown = text if len(text) <= _MOST_DIGITS else f"{text[:_MOST_DIGITS]}…"
            raise BadField(
                span, f"{field.label} {shown} is out of range {field.low}-{field.high}", field.hint
            )
        return int(text)
    if text.lower() in field.names:
        return field.names.index(text.lower()) + field.low
    raise BadField(span, f"cron does not read `{text}` as a {field.label}", _why(text) or field.hint)


def _within(span: Span, part: Span) -> Span:
    return span[0] + part[0], span[0] + part[1]


def _why(text: str) -> str:
    if re.fullmatch(r"[?LWH#0-9A-Za-z()/-]*[?LW#H][?LWH#0-9A-Za-z()/-]*", text) and not text.isalpha():
        return "`?`, `L`, `W`, `#` and `H` are of other schedulers; cronq reads them: cronq add"
    return ""
