"""The grammar of one cron field: text in, items with their places out.

Owns rules 3 to 8: what may be written, what is refused and where the caret goes. Knows nothing
of clocks, zones or days of real months.
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from cronq.schedule.pieces import Piece, did_you_mean

_MONTHS = {
    name: n
    for n, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
_DAYS = {name: n for n, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}

_PLAIN = re.compile(r"(?:(\*)|([0-9]+|[a-zA-Z]{3})(?:-([0-9]+|[a-zA-Z]{3}))?)(?:/([0-9]+))?")
_HASH = re.compile(r"[hH](?:\(([0-9]+)-([0-9]+)\))?(?:/([0-9]+))?")
_NEAR = re.compile(r"([0-9]+)[wW]")
_NTH = re.compile(r"([0-9]+|[a-zA-Z]{3})#([0-9]+)")
_LAST = re.compile(r"([0-9]|[a-zA-Z]{3})[lL]")
_WORD = re.compile(r"[a-zA-Z]+")


class Field(NamedTuple):
    """One of the six positions of a cron expression."""

    name: str
    label: str
    plural: str
    low: int
    high: int
    names: dict[str, int]

    def spoken(self, value: int) -> str:
        """A value as it is written best: by name where the field has names."""
        for name, number in self.names.items():
            if number == value:
                return name
        return str(value)

    @property
    def hint(self) -> str:
        """What the field takes, as a hint."""
        if self is WEEKDAY:
            return "days of the week are 0 to 7 (0 and 7 are Sunday) or sun to sat"
        names = " or jan to dec" if self is MONTH else ""
        return f"{self.plural} are {self.low} to {self.high}{names}"


SECOND = Field("second", "second", "seconds", 0, 59, {})
MINUTE = Field("minute", "minute", "minutes", 0, 59, {})
HOUR = Field("hour", "hour", "hours", 0, 23, {})
DAY = Field("day", "day of month", "days of the month", 1, 31, {})
MONTH = Field("month", "month", "months", 1, 12, _MONTHS)
WEEKDAY = Field("weekday", "day of week", "days of the week", 0, 7, _DAYS)


class Item(NamedTuple):
    """One member of a field's list.

    `kind` is `all` (`*` or `?`), `range` (also a single value: low == high), `last` (`L`),
    `last_workday` (`LW`), `near` (`15W`), `nth` (`5#3`: low is the day, high the number),
    `last_weekday` (`5L`) or `hash` (`H`). `step` is 0 where none was written.
    """

    kind: str
    low: int
    high: int
    step: int
    start: int
    end: int


class FieldSyntax(NamedTuple):
    """A field as it was written."""

    field: Field
    text: str
    start: int
    items: tuple[Item, ...]

    def text_of(self, item: Item) -> str:
        """An item as it was written."""
        return self.text[item.start - self.start : item.end - self.start]

    @property
    def is_star(self) -> bool:
        """Whether the text starts with `*` (`?` counts): the test that crontab(5) makes."""
        return self.text[0] in "*?"

    @property
    def is_any(self) -> bool:
        """Whether the field restricts nothing."""
        return self.text in ("*", "?")


def read_field(piece: Piece, field: Field) -> FieldSyntax:
    """The items of one field.

    Raises:
        ScheduleError: It breaks one of the rules 3 to 8.
    """
    text = piece.text
    if text == "*":
        return FieldSyntax(
            field, text, piece.start, (Item("all", field.low, field.high, 0, piece.start, piece.end),)
        )
    if "," not in text:
        return FieldSyntax(field, text, piece.start, (_read_item(piece, text, field),))
    items = []
    at = 0
    for part in text.split(","):
        item = piece.cut(at, at + len(part))
        if not part:
            comma = piece.cut(max(0, at - 1), max(1, at))
            raise comma.error(f"an empty item in the {field.label} list", "items stand between single commas")
        items.append(_read_item(item, part, field))
        at += len(part) + 1
    return FieldSyntax(field, text, piece.start, tuple(items))


def _read_item(piece: Piece, text: str, field: Field) -> Item:
    plain = _PLAIN.fullmatch(text)
    if plain is None or text in ("H/", "h/"):
        return _read_special(piece, text, field)
    star, low_text, high_text, step_text = plain.groups()
    step = _step(piece, plain, field) if step_text else 0
    if star:
        return Item("all", field.low, field.high, step, piece.start, piece.end)
    low = _value(piece.cut(*plain.span(2)), low_text, field)
    if high_text is None:
        if not step:
            return Item("range", low, low, 0, piece.start, piece.end)
        if field is WEEKDAY:
            raise piece.error(
                f"`{text}` has a step but no end, which is not read in the day of week field",
                f"write the range: {low_text}-6/{step}",
            )
        return Item("range", low, field.high, step, piece.start, piece.end)
    high = _value(piece.cut(*plain.span(3)), high_text, field)
    if field is WEEKDAY and high == 0 and low > 0 and not high_text.isdigit():
        # fri-sun: Sunday closes the week when a range ends with it.
        high = 7
    if low > high and step:
        raise piece.error(
            f"the range {low_text}-{high_text} goes backwards and has a step",
            f"write it as two ranges, or without /{step}",
        )
    return Item("range", low, high, step, piece.start, piece.end)


def _step(piece: Piece, plain: re.Match[str], field: Field) -> int:
    step = int(plain[4])
    if step == 0:
        raise piece.cut(*plain.span(4)).error(f"a step of 0 in the {field.label} field", "steps start at 1")
    return step


def _value(piece: Piece, text: str, field: Field) -> int:
    if text.isdigit():
        value = int(text)
        if not field.low <= value <= field.high:
            raise piece.error(f"{field.label} {value} is out of range {field.low}-{field.high}", field.hint)
        return value
    found = field.names.get(text.lower())
    if found is None:
        _unknown_word(piece, text, field)
    return found


def _unknown_word(piece: Piece, text: str, field: Field) -> NoReturn:
    word = text.lower()
    if word in _MONTHS or word in _DAYS:
        home = MONTH if word in _MONTHS else WEEKDAY
        raise piece.error(
            f"`{text}` does not belong in the {field.label} field",
            f"it is read in the {home.label} field only; {field.hint}",
        )
    if not field.names:
        raise piece.error(f"`{text}` is not a number", field.hint)
    hint = did_you_mean(word[:3] if word[:3] in field.names else word, list(field.names))
    raise piece.error(f"unknown {field.label} `{text}`", hint or field.hint)


def _read_special(piece: Piece, text: str, field: Field) -> Item:
    start, end = piece.start, piece.end
    if text == "?" and field in (DAY, WEEKDAY):
        return Item("all", field.low, field.high, 0, start, end)
    if found := _HASH.fullmatch(text):
        return _read_hash(piece, found, field)
    if field is DAY:
        if text in ("L", "l"):
            return Item("last", 0, 0, 0, start, end)
        if text.upper() == "LW":
            return Item("last_workday", 0, 0, 0, start, end)
        if found := _NEAR.fullmatch(text):
            day = _value(piece.cut(*found.span(1)), found[1], field)
            return Item("near", day, day, 0, start, end)
    if field is WEEKDAY:
        if found := _NTH.fullmatch(text):
            return _read_nth(piece, found)
        if found := _LAST.fullmatch(text):
            day = _value(piece.cut(*found.span(1)), found[1], field) % 7
            return Item("last_weekday", day, day, 0, start, end)
    return _refuse(piece, text, field)


def _read_hash(piece: Piece, found: re.Match[str], field: Field) -> Item:
    # 1-28 and 0-6: a hashed day exists in every month and names each weekday once.
    low, high = field.low, {"day": 28, "weekday": 6}.get(field.name, field.high)
    if found[1] is not None:
        low = _value(piece.cut(*found.span(1)), found[1], field)
        high = _value(piece.cut(*found.span(2)), found[2], field)
        if low > high:
            raise piece.cut(found.start(1), found.end(2)).error(
                f"the range {low}-{high} goes backwards", "H takes a range that goes forwards"
            )
    step = int(found[3]) if found[3] else 0
    if found[3] and step == 0:
        raise piece.cut(*found.span(3)).error(f"a step of 0 in the {field.label} field", "steps start at 1")
    return Item("hash", low, high, step, piece.start, piece.end)


def _read_nth(piece: Piece, found: re.Match[str]) -> Item:
    day = _value(piece.cut(*found.span(1)), found[1], WEEKDAY) % 7
    number = int(found[2])
    if not 1 <= number <= 5:
        raise piece.cut(*found.span(2)).error(
            f"`#{found[2]}` is out of range 1-5", "`5#3` is the third Friday; the last one is `5L`"
        )
    return Item("nth", day, number, 0, piece.start, piece.end)


# Texts, since only an error needs them compiled.
_ELSEWHERE = (
    (r"\?", "`?`", "in the two day fields only, where it stands for `*`"),
    (r"L", "`L`", "in the day of month field; in the day of week field write `5L`"),
    (r"(?:L|[0-9]+)W", "`W`", "in the day of month field only"),
    (r"[0-9a-zA-Z]+#[0-9]*", "`#`", "in the day of week field only, as in `5#3`"),
    (r"[0-9a-zA-Z]+L", "`L`", "in the day of month field; `5L` in the day of week field"),
)


def _refuse(piece: Piece, text: str, field: Field) -> NoReturn:
    if "/" in text and not text.rpartition("/")[2].isdigit():
        slash = text.index("/")
        raise piece.cut(slash, len(text)).error(
            f"the step in the {field.label} field is not a number", "a step is written `*/5` or `10-30/5`"
        )
    if found := _WORD.fullmatch(text):
        for shape, sign, where in _ELSEWHERE[1:3]:
            if re.fullmatch(shape, text, re.I):
                raise piece.error(f"{sign} is not read in the {field.label} field", f"it is read {where}")
        _unknown_word(piece, text, field)
    for shape, sign, where in _ELSEWHERE:
        if re.fullmatch(shape, text, re.I):
            raise piece.error(
                f"{sign} is not read like this in the {field.label} field", f"it is read {where}"
            )
    for found in _WORD.finditer(text):
        if found[0].lower() not in field.names and len(found[0]) > 1:
            _unknown_word(piece.cut(*found.span()), found[0], field)
    raise _first_bad(piece, text).error(f"`{text}` is not read in the {field.label} field", field.hint)


def _first_bad(piece: Piece, text: str) -> Piece:
    for at, char in enumerate(text):
        if not (char.isalnum() or char in "*-/?#"):
            return piece.cut(at, at + 1)
    return piece
