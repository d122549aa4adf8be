"""`Schedule`: the fire times of one schedule text in one zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from cronq.errors import InvariantError
from cronq.schedule.walls import DAY_S, US, Chunk

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_US = round((datetime.min.replace(tzinfo=UTC) - EPOCH) / timedelta(microseconds=1))
_LATEST_US = round((datetime.max.replace(tzinfo=UTC) - EPOCH) / timedelta(microseconds=1))


_from_timestamp = datetime.fromtimestamp
_NAIVE = "a schedule was asked about a datetime without a zone"


class Part(Protocol):
    """What one part of a union can do; instants are microseconds since the epoch."""

    def next_us(self, after_us: int) -> int | None:
        """The first fire time after an instant."""

    def prev_us(self, before_us: int) -> int | None:
        """The last fire time before an instant."""

    def chunks(self, start_us: int, end_us: int) -> Iterator[Chunk]:
        """The fire times in start <= fire time < end, ascending, as (base, offsets)."""

    def count_us(self, start_us: int, end_us: int) -> int:
        """How many fire times are in start <= fire time < end."""


class ScheduleWarning(NamedTuple):
    """Something legal that may surprise.

    Attributes:
        message: One line, without a full stop.
        severity: `warning` for what is probably not meant, `note` for what is good to know.
        date: The date on which it matters next, or None when it always does.
    """

    message: str
    severity: str = "warning"
    date: str | None = None


class Schedule:
    """A pure function of (text, zone, job name, clock-change policy) that yields fire times.

    Instances are immutable and shared: `cronq.schedule.parse` caches them.

    Attributes:
        text: The normal form; parsing it again gives the same schedule at any later time.
        tz: The IANA key of the zone in which the text is read.
        name: The job's name, which places `H`.
        dst: What a clock change does: `cron`, `skip` or `both`.
        at_startup: Whether a start of the scheduler is a fire time too (`@reboot`).
        is_interval: Whether every part follows the clock through a change rather than naming
            fixed times (rule 14).
    """

    __slots__ = ("_part", "at_startup", "dst", "is_interval", "name", "text", "tz")

    text: str
    tz: str
    name: str
    dst: str
    at_startup: bool
    is_interval: bool
    _part: Part

    def __init__(
        self, text: str, tz: str, name: str, dst: str, *, at_startup: bool, is_interval: bool, part: Part
    ) -> None:
        set_once = super().__setattr__
        set_once("text", text)
        set_once("tz", tz)
        set_once("name", name)
        set_once("dst", dst)
        set_once("at_startup", at_startup)
        set_once("is_interval", is_interval)
        set_once("_part", part)

    def of(self, job: str) -> Schedule:
        """Return the same schedule for a job; without `H` in it, it has the same fire times."""
        return Schedule(
            self.text,
            self.tz,
            job,
            self.dst,
            at_startup=self.at_startup,
            is_interval=self.is_interval,
            part=self._part,
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise InvariantError(f"a schedule is immutable: {name}")

    def __delattr__(self, name: str) -> None:
        raise InvariantError(f"a schedule is immutable: {name}")

    def __repr__(self) -> str:
        return f"Schedule({self.text!r}, tz={self.tz!r}, dst={self.dst!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> tuple[object, ...]:
        # A worker process parses again: zones do not travel, texts do.
        return _restored, self._key()

    def _key(self) -> tuple[str, str, str, str]:
        return self.text, self.tz, self.name, self.dst

    def next(self, after: datetime) -> datetime | None:
        """The first fire time after an instant in UTC, or None when there is none within 50 years."""
        # `us_from_datetime` and back, written out: a call costs as much as the work.
        try:
            delta = after - EPOCH
        except TypeError as error:
            raise InvariantError(_NAIVE) from error
        found = self._part.next_us((delta.days * DAY_S + delta.seconds) * US + delta.microseconds)
        if found is None:
            return None
        return _from_timestamp(found // US, UTC) if found % US == 0 else datetime_from_us(found)

    def prev(self, before: datetime) -> datetime | None:
        """The last fire time before an instant in UTC, or None when there is none within 50 years."""
        found = self._part.prev_us(us_from_datetime(before))
        return None if found is None else datetime_from_us(found)

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The fire times in start <= fire time < end in UTC, ascending, streamed."""
        chunks = self._part.chunks(us_from_datetime(start), us_from_datetime(end))
        known: object = None
        deltas: list[timedelta] = []
        for base, offsets in chunks:
            if offsets is not known:
                known = offsets
                deltas = [timedelta(0, 0, offset) for offset in offsets]
            origin = EPOCH + timedelta(0, 0, base)
            for delta in deltas:
                yield origin + delta

    def explain(self) -> str:
        """An English sentence for the text, without the zone and without a full stop."""
        from cronq.schedule.sentence import sentence

        return sentence(self.text, self.tz, self.name)

    def warnings(self, now: datetime) -> list[ScheduleWarning]:
        """What is legal but may surprise, and the next dates on which a clock change matters.

        Args:
            now: An aware datetime from which "next" counts.
        """
        from cronq.schedule.surprises import surprises

        return surprises(self, us_from_datetime(now))

    def notes_at(self, fire_at: datetime) -> str | None:
        """What to write beside a fire time that a clock change touches, or None (rule 17).

        Such as `moved from 02:30 (clock change)` or `second 01:30 is not run`.
        """
        from cronq.schedule.surprises import note_at

        return note_at(self, us_from_datetime(fire_at))

    def next_us(self, after_us: int) -> int | None:
        """`next` in microseconds since the epoch."""
        return self._part.next_us(after_us)

    def prev_us(self, before_us: int) -> int | None:
        """`prev` in microseconds since the epoch."""
        return self._part.prev_us(before_us)

    def iter_us(self, start_us: int, end_us: int) -> Iterator[int]:
        """`between` in microseconds since the epoch."""
        for base, offsets in self._part.chunks(start_us, end_us):
            for offset in offsets:
                yield base + offset

    def count_us(self, start_us: int, end_us: int) -> int:
        """How many fire times are in start <= fire time < end; months are counted, not walked."""
        return self._part.count_us(start_us, end_us)


def us_from_datetime(at: datetime) -> int:
    """Microseconds since the epoch of an aware datetime, which may stand in a repeated hour."""
    try:
        # The subtraction is between different zones, or within UTC, so `fold` counts.
        delta = at - EPOCH
    except TypeError as error:
        raise InvariantError(_NAIVE) from error
    return (delta.days * DAY_S + delta.seconds) * US + delta.microseconds


def datetime_from_us(at_us: int) -> datetime:
    """The aware UTC datetime of microseconds since the epoch; the last one there is when beyond it."""
    return EPOCH + timedelta(0, 0, min(max(at_us, _EARLIEST_US), _LATEST_US))


def _restored(text: str, tz: str, name: str, dst: str) -> Schedule:
    from cronq.schedule.parse import parse

    return parse(text, tz=tz, name=name, dst=dst)
