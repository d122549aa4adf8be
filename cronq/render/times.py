"""Instants and durations in words: relative first, absolute beside it, the zone by name.

Zones come in as `tzinfo`: which data they are read from is the business of `cronq.schedule.zones`.
"""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from functools import lru_cache

from cronq.clock import datetime_from_us
from cronq.model import SECOND, Micros

DAY: Micros = 86_400 * SECOND
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def iso(at: Micros | None) -> str | None:
    """Return RFC 3339 in UTC with `Z`; fractions only if there are any. None stays None."""
    if at is None:
        return None
    second, fraction = divmod(at, SECOND)
    return f"{_iso_second(second)}.{fraction:06d}Z" if fraction else f"{_iso_second(second)}Z"


@lru_cache(maxsize=64)
def _iso_second(second: int) -> str:
    """Return date and time of a second; a log has many lines of the same one."""
    return datetime_from_us(second * SECOND).replace(tzinfo=None).isoformat()


def iso_local(at: Micros, zone: tzinfo) -> str:
    """Return RFC 3339 in a zone, with the offset that is in force at that instant."""
    return local(at, zone).isoformat(timespec="microseconds" if at % SECOND else "seconds")


def local(at: Micros, zone: tzinfo) -> datetime:
    """Return an aware datetime in a zone."""
    return datetime_from_us(at).astimezone(zone)


def span(seconds: float, *, units: int = 1) -> str:
    """Return a span of time in at most so many units: `11h`, `1h 5m`, `3d`."""
    rest = round(seconds)
    parts: list[str] = []
    for name, size in _UNITS:
        if rest >= size:
            parts.append(f"{rest // size}{name}")
            rest %= size
        elif parts:
            break
        if len(parts) == units:
            break
    return " ".join(parts) or "0s"


def relative(at: Micros, now: Micros, zone: tzinfo, *, units: int = 1) -> str:
    """Return `in 11h`, `3m ago`, `now`, and the date from 30 days on."""
    away = at - now
    if abs(away) < SECOND:
        return "now"
    if abs(away) >= 30 * DAY:
        return local(at, zone).strftime("%Y-%m-%d")
    text = span(abs(away) / SECOND, units=units)
    return f"in {text}" if away > 0 else f"{text} ago"


def wall(at: Micros, now: Micros, zone: tzinfo) -> str:
    """Return the wall time, with as much of a date as tells which one it is.

    `14:05`, `Tue 02:00` (within six days), `2026-12-24 18:00`; seconds only if there are any.
    """
    moment = local(at, zone)
    today = local(now, zone).date()
    clock = moment.strftime("%H:%M:%S" if moment.second else "%H:%M")
    if moment.date() == today:
        return clock
    if abs(moment.date() - today) <= timedelta(days=6):
        return f"{moment.strftime('%a')} {clock}"
    return f"{moment.strftime('%Y-%m-%d')} {clock}"


def full(at: Micros, zone: tzinfo) -> str:
    """Return `Fri 2026-01-02 09:00`, with seconds only if there are any."""
    moment = local(at, zone)
    return moment.strftime("%a %Y-%m-%d %H:%M:%S" if moment.second else "%a %Y-%m-%d %H:%M")


def offset(at: Micros, zone: tzinfo) -> str:
    """Return the offset in force at an instant: `UTC`, `UTC+2`, `UTC-3:30`."""
    seconds = round((local(at, zone).utcoffset() or timedelta()).total_seconds())
    if not seconds:
        return "UTC"
    minutes, rest = divmod(abs(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    text = f"UTC{'-' if seconds < 0 else '+'}{hours}"
    if minutes or rest:
        text += f":{minutes:02d}"
    return text + (f":{rest:02d}" if rest else "")


def offset_change(at: Micros, now: Micros, zone: tzinfo) -> str:
    """Return `(UTC+2 → UTC+1)` if a clock change lies between now and then, else nothing."""
    before, after = offset(now, zone), offset(at, zone)
    return f"({before} → {after})" if before != after else ""


def duration(seconds: float) -> str:
    """Return how long something took: `41ms`, `3.2s`, `41s`, `4m10s`, `2h05m`, `3d04h`."""
    if 0 < seconds < 0.0005:
        return "<1ms"
    if seconds < 0.9995:
        return f"{round(seconds * 1000)}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3_600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3_600}h{whole % 3_600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3_600:02d}h"
