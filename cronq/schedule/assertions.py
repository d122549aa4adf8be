"""Assertions: what must be true of a job's fire times, kept with the job and checked by `cronq check`.

::

    runs [at least | at most | exactly] N times in 2027 | 2027-03 | 2027-03-28
    never more than N times a minute | hour | day | week | month
    never between 02:00 and 04:00 [on mon-fri]      only between 08:00 and 18:00
    never on sat,sun                                only on mon-fri
    at least every 26h

**Horizon.** `runs … in PERIOD` looks at the whole period, past or future. Everything else looks from
now on for two years, or as far as the caller says; what is counted in minutes or less looks at 200,000 of
them only (20 weeks of minutes), so that a check stays quick. Days and clock times are those of the job's
zone.

**Edges** are read so that touching one is no violation: `never between` leaves its end free, and `only
between` includes both of its ends. Weeks begin on Monday.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from cronq.errors import ScheduleError
from cronq.schedule import checks
from cronq.schedule.firetimes import FireTimes
from cronq.schedule.masks import mask_of
from cronq.schedule.pieces import Piece, did_you_mean, joined, printable
from cronq.schedule.readers import read_tod, read_tods, read_weekdays
from cronq.schedule.walls import DAY_S, DAY_US, US

HORIZON_US = 731 * DAY_US
_HINT = (
    "such as `runs 365 times in 2027`, `never between 02:00 and 04:00`, `never on sat,sun`, "
    "`never more than once a day` or `at least every 26h`"
)
_MAX_CHARS = 160
_MAX_COUNT = 10**9
_TIMES = {"once": 1, "twice": 2}
_FIRST_WORDS = ("runs", "never", "only", "at")
_ALL_DAYS = 127


class Violation(NamedTuple):
    """What is wrong.

    Attributes:
        message: One line that names the dates, without a full stop.
        at_us: Some of the offending instants, ascending; perhaps none, when a run is missing.
    """

    message: str
    at_us: tuple[int, ...] = ()


class _Rule(Protocol):
    def check(self, times: FireTimes, tz: str, low_us: int, high_us: int) -> checks.Finding | None:
        """What is wrong between two instants, or None."""


class Assertion(NamedTuple):
    """One assertion; `text` is its normal form."""

    text: str
    rule: _Rule

    def check(self, times: FireTimes, tz: str, now_us: int, horizon_us: int = HORIZON_US) -> Violation | None:
        """What violates it, or None.

        Args:
            times: The job's fire times, with bounds and calendars.
            tz: The job's zone.
            now_us: From which the horizon counts.
            horizon_us: How far to look; does not matter to `runs … in PERIOD`.
        """
        found = self.rule.check(times, tz, now_us, now_us + horizon_us)
        return None if found is None else Violation(*found)


def parse_assertion(text: str) -> Assertion:
    """The assertion that a text makes.

    Raises:
        ScheduleError: It cannot be read; points at the place.
    """
    if len(text) > _MAX_CHARS:
        cut = text[:_MAX_CHARS]
        raise Piece(cut, 0, len(cut)).error("too long for an assertion", _HINT)
    whole = Piece(text, 0, len(text)).stripped()
    words = whole.words()
    if not words or not text.isascii() or not text.isprintable():
        raise whole.error("the assertion is empty or holds signs that are not read", _HINT)
    normal = " ".join(word.text.lower() for word in words)
    first = words[0].text.lower()
    if first == "runs":
        return Assertion(normal, _read_runs(words))
    if first in ("never", "only"):
        return Assertion(normal, _read_never_only(words, is_only=first == "only"))
    if first == "at":
        return Assertion(normal, _read_gap(words))
    raise words[0].error(
        f"unknown assertion `{printable(words[0].text)}`", did_you_mean(first, list(_FIRST_WORDS)) or _HINT
    )


def _read_runs(words: list[Piece]) -> checks.Count:
    at = 1
    kind = "exactly"
    if _says(words, at, "at") and (_says(words, at + 1, "least") or _says(words, at + 1, "most")):
        kind = words[at + 1].text.lower()
        at += 2
    elif _says(words, at, "exactly"):
        at += 1
    number, at = _number(words, at)
    _expect(words, at, "in", "a period")
    if len(words) == at + 1:
        raise words[at].error(
            "`in` needs a period after it", "a year, month or day: 2027, 2027-03 or 2027-03-28"
        )
    _end(words, at + 2)
    first, last = checks.read_period(words[at + 1])
    return checks.Count(kind, number, words[at + 1].text, first, last)


def _number(words: list[Piece], at: int) -> tuple[int, int]:
    """The count of `once`, `twice` or `5 times`, and where the next word is."""
    if at >= len(words):
        raise words[-1].error(f"`{words[-1].text}` needs a number after it", _HINT)
    word = words[at]
    if (number := _TIMES.get(word.text.lower())) is not None:
        return number, at + 1
    if not word.text.isdigit() or len(word.text) > 10 or int(word.text) > _MAX_COUNT:
        raise word.error(
            f"`{word.text}` is not a number of times", "write once, twice or a number: `5 times`"
        )
    if not _says(words, at + 1, "times") and not _says(words, at + 1, "time"):
        raise joined(word, words[min(at + 1, len(words) - 1)]).error(
            f"`{word.text}` of what?", f"write `{word.text} times`"
        )
    return int(word.text), at + 2


def _read_never_only(words: list[Piece], *, is_only: bool) -> checks.Forbidden | checks.Rate:
    lead = words[0].text.lower()
    if not is_only and _says(words, 1, "more"):
        return _read_rate(words)
    if _says(words, 1, "on"):
        if len(words) == 2:
            raise words[1].error("`on` needs weekdays after it", "such as `never on sat,sun`")
        _end(words, 3)
        mask = mask_of(read_weekdays(words[2]), "")
        return _forbidden(words, (_ALL_DAYS & ~mask if is_only else mask, 0, DAY_S))
    if not _says(words, 1, "between"):
        known = ["between", "on"] + ([] if is_only else ["more"])
        if len(words) == 1:
            raise words[0].error(f"`{lead}` needs something after it", _HINT)
        hint = did_you_mean(words[1].text, known)
        raise words[1].error(f"unknown word `{words[1].text}` after `{lead}`", hint or _HINT)
    return _read_between(words, is_only=is_only)


def _read_between(words: list[Piece], *, is_only: bool) -> checks.Forbidden:
    first, last, at = _times(words)
    mask = _ALL_DAYS
    if len(words) > at:
        _expect(words, at, "on", "weekdays")
        if is_only:
            raise words[at].error(
                "`only between` takes no weekdays", "add a second assertion: `only on mon-fri`"
            )
        if len(words) == at + 1:
            raise words[at].error("`on` needs weekdays after it", "such as `on mon-fri`")
        _end(words, at + 2)
        mask = mask_of(read_weekdays(words[at + 1]), "")
    if first == last:
        raise joined(words[2], words[at - 1]).error("the range of times is empty", "its ends differ")
    if not is_only:
        return _forbidden(words, (mask, first, last if last > first else last + DAY_S))
    # The end itself is inside: a part begins with it, and `frees` lets it pass.
    parts = ((mask, last, first),) if last < first else ((mask, 0, first), (mask, last, DAY_S))
    return checks.Forbidden(tuple(part for part in parts if part[1] < part[2]), frees=last)


def _times(words: list[Piece]) -> tuple[int, int, int]:
    """The two seconds of the day after `between`, and where the next word is."""
    if len(words) == 2:
        raise words[1].error("`between` needs two times after it", "such as `between 02:00 and 04:00`")
    if "-" in words[2].text:
        return *read_tods(words[2]), 3
    first = read_tod(words[2])
    _expect(words, 3, "and", "the second time")
    if len(words) == 4:
        raise words[3].error("`and` needs a time after it", "such as `between 02:00 and 04:00`")
    return first, read_tod(words[4], midnight=DAY_S), 5


def _forbidden(words: list[Piece], part: tuple[int, int, int]) -> checks.Forbidden:
    if not part[0]:
        raise joined(words[0], words[-1]).error("this forbids nothing", "name fewer weekdays")
    return checks.Forbidden((part,))


def _read_rate(words: list[Piece]) -> checks.Rate:
    _expect(words, 2, "than", "a number")
    number, at = _number(words, 3)
    if not (_says(words, at, "a") or _says(words, at, "an") or _says(words, at, "per")):
        _expect(words, at, "a", "a unit of time")
    if len(words) == at + 1:
        raise words[at].error(f"`{words[at].text}` needs a unit after it", "minute, hour, day, week or month")
    unit = words[at + 1].text.lower()
    if unit not in checks.UNITS:
        hint = did_you_mean(unit, list(checks.UNITS)) or "minute, hour, day, week or month"
        raise words[at + 1].error(f"unknown unit `{words[at + 1].text}`", hint)
    _end(words, at + 2)
    return checks.Rate(number, unit)


def _read_gap(words: list[Piece]) -> checks.Gap:
    _expect(words, 1, "least", "`every`")
    _expect(words, 2, "every", "a duration")
    if len(words) == 3:
        raise words[2].error("`every` needs a duration after it", "such as `at least every 26h`")
    _end(words, 4)
    seconds = checks.read_duration(words[3])
    return checks.Gap(round(seconds * US))


def _says(words: list[Piece], at: int, text: str) -> bool:
    return at < len(words) and words[at].text.lower() == text


def _expect(words: list[Piece], at: int, text: str, then: str) -> None:
    if at >= len(words):
        raise words[-1].error(f"`{text}` and {then} are missing after `{words[-1].text}`", _HINT)
    if not _says(words, at, text):
        raise words[at].error(f"`{text}` is expected here, not `{words[at].text}`", _HINT)


def _end(words: list[Piece], at: int) -> None:
    if len(words) > at:
        raise _too_much(joined(words[at], words[-1]))


def _too_much(rest: Piece) -> ScheduleError:
    return rest.error(f"`{rest.text}` is too much here", _HINT)
