"""The whole sentence about when a job runs: schedule, bounds, calendars, blackouts and jitter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cronq.schedule.duration import format_duration
from cronq.schedule.schedule import Schedule
from cronq.schedule.walls import US
from cronq.schedule.words import listed

if TYPE_CHECKING:
    from cronq.schedule.blackout import Blackouts
    from cronq.schedule.bounds import Bounds
    from cronq.schedule.calendar_uses import CalendarUse
    from cronq.schedule.placement import Jitter

_RULES = {
    "skip": "not on {}",
    "next": "on the next business day instead of {}",
    "previous": "on the business day before instead of {}",
}
_POLICIES = {"defer": "not {} (waits for the end)", "drop": "not {} (skipped)"}


def describe(
    schedule: Schedule,
    bounds: Bounds | None = None,
    calendars: Iterable[CalendarUse] = (),
    blackouts: Blackouts | None = None,
    jitter: Jitter | None = None,
) -> str:
    """An English sentence without a full stop.

    Such as `at 09:00 every day, from 2026-01-01, not on us-holidays, up to 5m later`.
    """
    parts = [schedule.explain()]
    if bounds is not None and bounds.start:
        parts.append(f"from {bounds.start}")
    if bounds is not None and bounds.until:
        parts.append(f"until {bounds.until}")
    parts += _grouped(_RULES, [(use.rule, use.calendar.name) for use in calendars])
    if blackouts is not None:
        from cronq.schedule.blackout import spoken

        parts += _grouped(_POLICIES, [(window.policy, spoken(window)) for window in blackouts.windows])
    if jitter is not None:
        size = format_duration(jitter.span_us / US)
        parts.append(f"up to {size} later" + (", each time another" if jitter.is_random else ""))
    return ", ".join(parts)


def _grouped(forms: dict[str, str], pairs: list[tuple[str, str]]) -> list[str]:
    """One phrase for each form that is used, with all its names."""
    found = []
    for key, form in forms.items():
        names = [name for used, name in pairs if used == key]
        if names:
            found.append(form.format(listed(names, "or")))
    return found
