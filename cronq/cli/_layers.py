"""What a job's fire times have besides a schedule: bounds, calendars, blackouts, jitter, assertions.

They are read here as they were typed, and become their normal forms; `none` takes one away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from cronq.cli._errors import Problems
from cronq.errors import CronqError, UsageError
from cronq.model import Micros

_Text = TypeVar("_Text")
_Found = TypeVar("_Found")

LABELS = {
    "valid_from": "from",
    "valid_until": "until",
    "calendars": "calendar",
    "blackouts": "blackout",
    "assertions": "assert",
    "locks": "lock",
    "secrets": "secret",
    "tags": "tag",
}
"""Fields of a definition whose options are not called like them."""

NONE = "none"


class Layers(NamedTuple):
    """The options as they were typed; None and empty: not given.

    Attributes:
        calendar_option: How this command calls its option for calendars.
    """

    valid_from: str | None = None
    valid_until: str | None = None
    calendars: Sequence[str] = ()
    blackouts: Sequence[str] = ()
    jitter: str | None = None
    assertions: Sequence[str] = ()
    calendar_option: str = "--calendar"

    def __bool__(self) -> bool:
        return any(value for value in self[:-1])

    @property
    def first_option(self) -> str:
        """The first option that was given, as this command calls it."""
        name = next(name for name, value in zip(self._fields, self, strict=True) if value)
        return self.calendar_option if name == "calendars" else self.set_option

    @property
    def set_option(self) -> str:
        """The first option that was given, as `cronq set` calls it."""
        name = next(name for name, value in zip(self._fields, self, strict=True) if value)
        return f"--{LABELS.get(name, name)}"

    def read(
        self,
        *,
        tz: str | None,
        now: Micros,
        calendars: Mapping[str, str],
        base: tuple[str | None, str | None] = (None, None),
        problems: list[CronqError] | None = None,
    ) -> dict[str, object]:
        """Return the fields that were given, in normal form.

        Args:
            tz: The job's zone; None if it is wrong, so that bounds cannot be read.
            now: What `tomorrow` counts from.
            calendars: The named calendars.
            base: The job's bounds so far, which hold where none is given.
            problems: Where errors go; None: they are raised together.

        Raises:
            CronqError: Something is wrong, and there is no `problems`.
        """
        found: list[CronqError] = [] if problems is None else problems
        values: dict[str, object] = {}
        if tz is not None:
            self._read_bounds(values, found, tz, now, base)
        self._read_calendars(values, found, calendars)
        self._read_blackouts(values, found, tz)
        if self.jitter is not None:
            values["jitter"] = (
                None if self.jitter == NONE else _tried("--jitter", _jitter, self.jitter, found)
            )
        if self.assertions:
            values["assertions"] = _several("--assert", _assertion, self.assertions, found)
        if problems is None and found:
            raise found[0] if len(found) == 1 else Problems(found)
        return values

    def _read_bounds(
        self,
        values: dict[str, object],
        problems: list[CronqError],
        tz: str,
        now: Micros,
        base: tuple[str | None, str | None],
    ) -> None:
        if self.valid_from is None and self.valid_until is None:
            return
        from cronq.schedule.bounds import read_bounds

        before = len(problems)
        read = partial(read_bounds, tz=tz, now_us=now)
        for name, text in (("valid_from", self.valid_from), ("valid_until", self.valid_until)):
            if text is None:
                continue
            values[name] = None
            if text != NONE:
                is_start = name == "valid_from"
                option = "--from" if is_start else "--until"
                one = partial(read, until=None) if is_start else partial(read, None)
                bounds = _tried(option, one, text, problems)
                if bounds is not None:
                    values[name] = bounds.start if is_start else bounds.until
        start, until = values.get("valid_from", base[0]), values.get("valid_until", base[1])
        if len(problems) == before and start and until and values.keys() & {"valid_from", "valid_until"}:
            option = "--from" if self.valid_until is None else "--until"
            _tried(option, lambda until: read(str(start), until), str(until), problems)

    def _read_calendars(
        self, values: dict[str, object], problems: list[CronqError], calendars: Mapping[str, str]
    ) -> None:
        if not self.calendars:
            return
        from cronq.schedule.calendar_uses import read_use, read_uses
        from cronq.timing import read_calendar

        texts = given(self.calendar_option, self.calendars, problems)
        known = {name: read_calendar(name, text) for name, text in calendars.items()}
        before = len(problems)
        uses = [
            use
            for text in texts
            if (use := _tried(self.calendar_option, partial(read_use, known=known), text, problems))
        ]
        if len(problems) == before:
            _tried(self.calendar_option, partial(read_uses, known=known), texts, problems)
        values["calendars"] = tuple(use.text for use in uses)

    def _read_blackouts(self, values: dict[str, object], problems: list[CronqError], tz: str | None) -> None:
        if not self.blackouts:
            return
        from cronq.schedule.blackout import read_blackouts, read_window

        before = len(problems)
        windows = _several("--blackout", lambda text: read_window(text).text, self.blackouts, problems)
        if len(problems) == before:
            _tried("--blackout", lambda texts: read_blackouts(texts, tz or "UTC"), windows, problems)
        values["blackouts"] = windows


def _jitter(text: str) -> str:
    from cronq.schedule.placement import parse_jitter

    return parse_jitter(text).text


def _assertion(text: str) -> str:
    from cronq.schedule.assertions import parse_assertion

    return parse_assertion(text).text


def given(option: str, texts: Iterable[str], problems: list[CronqError]) -> list[str]:
    """Return the texts of an option that may be repeated; none for a single `none`."""
    found = list(dict.fromkeys(texts))
    if found == [NONE]:
        return []
    if NONE in found:
        problems.append(UsageError(f"{option}: `none` stands alone", hint="it takes all of them away"))
    return [text for text in found if text != NONE]


def _several(
    option: str, read: Callable[[str], str], texts: Iterable[str], problems: list[CronqError]
) -> tuple[str, ...]:
    found = (_tried(option, read, text, problems) for text in given(option, texts, problems))
    return tuple(dict.fromkeys(text for text in found if text is not None))


def _tried(
    option: str, read: Callable[[_Text], _Found], text: _Text, problems: list[CronqError]
) -> _Found | None:
    try:
        return read(text)
    except CronqError as error:
        problems.append(named(error, option))
        return None


def named(error: CronqError, option: str) -> CronqError:
    """Return the error with the name of its option in front."""
    message = f"{option}: {error.message}"
    return type(error)(message, hint=error.hint, text=error.text, span=error.span, details=error.details)
