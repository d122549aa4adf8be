"""Calendars of the `holidays` package: public holidays of countries and days when markets are closed.

The package is an extra and takes 80 ms to import, so it is imported when a date is asked for.
Years are computed one by one and remembered. Another version of the package may know better dates,
as with zone data: it is the spec that is stored, not the dates.

Source: https://holidays.readthedocs.io (version 0.80 and later); ISO 3166 for countries and their parts,
ISO 10383 for markets.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from cronq.errors import ScheduleError
from cronq.schedule.calendars import FIRST_YEAR, LAST_YEAR, PACKAGE_PREFIX
from cronq.schedule.days import EPOCH_ORDINAL
from cronq.schedule.pieces import did_you_mean, printable

if TYPE_CHECKING:
    from types import ModuleType

SUFFIX = "-holidays"
_INSTALL = "pip install 'cronq-cli[calendars]'"
_FORMS = "such as us-holidays, us-ny-holidays, de-by-holidays or nyse-holidays"


class HolidayCalendar:
    """The holidays of a country, of a part of it, or of a market.

    Args:
        name: How jobs refer to it.
        code: `US`, `US-NY` or `NYSE`, as the package writes them.
    """

    __slots__ = ("_code", "_name", "_years")

    def __init__(self, name: str, code: str) -> None:
        self._name = name
        self._code = code
        self._years: dict[int, dict[int, str]] = {}

    def __repr__(self) -> str:
        return f"HolidayCalendar({self._name!r}, {self._code!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HolidayCalendar) and (self._name, self._code) == (other._name, other._code)

    def __hash__(self) -> int:
        return hash((self._name, self._code))

    @property
    def name(self) -> str:
        """How jobs refer to it."""
        return self._name

    def label(self, day: int) -> str | None:
        """What the day is called; None when it is no holiday.

        Raises:
            ScheduleError: The package is missing, or does not know the country any more.
        """
        year = date.fromordinal(day + EPOCH_ORDINAL).year if 0 <= day < 100_000 else 0
        return self._year(year).get(day)

    def days(self, low: int, high: int) -> list[int]:
        """The holidays in low <= day < high, ascending.

        Raises:
            ScheduleError: As `label`.
        """
        low, high = max(low, 0), min(high, 100_000)
        if low >= high:
            return []
        first = date.fromordinal(low + EPOCH_ORDINAL).year
        last = date.fromordinal(high - 1 + EPOCH_ORDINAL).year
        years = range(max(first, FIRST_YEAR), min(last, LAST_YEAR) + 1)
        return [day for year in years for day in self._year(year) if low <= day < high]

    def to_text(self) -> str:
        """The text to store: `holidays:US-NY`."""
        return PACKAGE_PREFIX + self._code

    def _year(self, year: int) -> dict[int, str]:
        found = self._years.get(year)
        if found is None:
            found = self._years[year] = _holidays(self._code, year) if _in_range(year) else {}
        return found


def _in_range(year: int) -> bool:
    return FIRST_YEAR <= year <= LAST_YEAR


@lru_cache(maxsize=4096)
def _holidays(code: str, year: int) -> dict[int, str]:
    """The day numbers of a year's holidays, ascending, with their names in English where there are any."""
    package = _package()
    country, _, part = code.partition("-")
    try:
        if country in _markets():
            found = package.financial_holidays(country, years=year, expand=False, language="en_US")
        else:
            found = package.country_holidays(
                country, subdiv=part or None, years=year, expand=False, language="en_US"
            )
    except (NotImplementedError, KeyError, ValueError) as error:
        raise _refused(code, 0, len(code), f"no holidays are known for `{code}`", _FORMS) from error
    return {day.toordinal() - EPOCH_ORDINAL: " ".join(name.split()) for day, name in sorted(found.items())}


def _package() -> ModuleType:
    try:
        import holidays
    except ImportError as error:
        raise ScheduleError(
            "calendars of holidays need the `holidays` package, which is not installed", hint=_INSTALL
        ) from error
    return holidays


@lru_cache(maxsize=1)
def _countries() -> dict[str, list[str]]:
    return dict(_package().list_supported_countries(include_aliases=True))


@lru_cache(maxsize=1)
def _markets() -> dict[str, list[str]]:
    return dict(_package().list_supported_financial(include_aliases=True))


def is_spec(text: str) -> bool:
    """Whether a calendar's name asks for the package: `us-holidays`."""
    return text.lower().endswith(SUFFIX)


def read_spec(text: str) -> HolidayCalendar:
    """The calendar of `us-holidays`, `de-by-holidays` or `nyse-holidays`; its name is the text.

    Raises:
        ScheduleError: The package is missing, or knows no such country, part or market; points at it.
    """
    body = text[: -len(SUFFIX)]
    country, dash, part = body.partition("-")
    if not country or len(text) > 64:
        raise _refused(text, 0, len(text), f"`{printable(text[:64])}` names no country", _FORMS)
    code = country.upper()
    markets = {market.upper(): market for market in _markets()}
    if code in markets and not dash:
        return HolidayCalendar(text, markets[code])
    parts = _countries().get(code)
    if parts is None:
        if code in markets:
            raise _refused(
                text, len(country), len(body), "a market has no parts", f"write `{country}{SUFFIX}`"
            )
        known = [each.lower() for each in (*_countries(), *_markets())]
        # Any two letters are near some other two.
        hint = (did_you_mean(country, known) if len(country) > 2 else "") or _FORMS
        raise _refused(text, 0, len(country), f"no holidays are known for `{printable(country)}`", hint)
    if not dash:
        return HolidayCalendar(text, code)
    folded = {_folded(each): each for each in parts}
    if _folded(part) not in folded:
        hint = did_you_mean(part, list(folded)) or _parts_hint(code, parts)
        message = f"no part `{printable(part)}` of `{code}` is known"
        raise _refused(text, len(country) + 1, len(body), message, hint)
    return HolidayCalendar(text, f"{code}-{folded[_folded(part)]}")


def _folded(part: str) -> str:
    return part.lower().replace(" ", "-")


def _parts_hint(code: str, parts: list[str]) -> str:
    if not parts:
        return f"`{code}` has no parts here"
    more = f" and {len(parts) - 12} more" if len(parts) > 12 else ""
    return f"parts of {code}: " + ", ".join(_folded(part) for part in parts[:12]) + more


def _refused(text: str, start: int, end: int, message: str, hint: str) -> ScheduleError:
    shown = printable(text[:64])
    return ScheduleError(message, hint=hint, text=shown, span=(min(start, 64), min(end, 64)))
