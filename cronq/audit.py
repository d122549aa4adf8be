"""Proving the ledger: expected = recorded, for every fire time of a job's life.

Pure functions over what was in force when, and over the rows in the order of their fire times. Both are
walked once, side by side, so a year of every minute needs no more memory than a day::

    eras       ──┤ revision 1 ├──────┤ revision 2 ├───────────────▶   what should be there
    rows       ──▪──▪──▪──▪▪▪▪▪▪▪──▪────▪────▪────▪────▪────▪─────▶   what is there
                start                                      end: the watermark

Whatever the two do not agree about is a difference. One that rests on rules which nobody can reproduce any
more (other zone data, a schedule that cannot be computed) is told as well, but proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from cronq.errors import InvariantError
from cronq.model import Micros
from cronq.plan import FireTimes

_STEPS = 1000
"""So many fire times are stepped over one by one; more are counted, at the same cost for any number."""


class Kind(StrEnum):
    """In what the ledger and the definitions disagree."""

    MISSING = "missing"
    """Fire times that no row accounts for."""
    EXTRA = "extra"
    """A row for an instant that was no fire time under the definition then in force."""
    DOUBLED = "doubled"
    """A row for fire times that another row accounts for."""
    COUNT = "count"
    """A row whose count, or whose last fire time, is not that of the fire times it spans."""
    ORDER = "order"
    """A row that was written before the row of an earlier fire time."""
    REVISION = "revision"
    """A row that names another definition than the one that was in force."""
    UNCOMPUTABLE = "uncomputable"
    """A definition whose fire times cannot be computed any more."""


class Era(NamedTuple):
    """A definition, and from when on it was in force.

    Attributes:
        since: Fire times after this belong to it, up to the `since` of the next one.
        times: None if they cannot be computed any more.
        is_certain: Whether the same rules as then compute them now.
    """

    revision: int
    since: Micros
    times: FireTimes | None
    is_certain: bool = True


class Reign(NamedTuple):
    """A stretch of time in which one definition was in force: `low < instant <= until`."""

    era: Era
    low: Micros
    until: Micros


class Recorded(NamedTuple):
    """A row of the ledger that accounts for fire times.

    Attributes:
        became: Its outcome, or its state if it is not done.
        is_last_known: The fire times right after it could not be computed when it was written.
        revision: The definition that it names; None: not asked for.
    """

    run_id: int
    fire_at: Micros
    last_fire_at: Micros
    fire_count: int
    became: str = ""
    is_last_known: bool = False
    revision: int | None = None


class Difference(NamedTuple):
    """One thing in which the ledger and the definitions disagree.

    Attributes:
        first: The first fire time it is about.
        last: The last one.
        fire_count: How many fire times it is about; of an uncomputable definition: rows.
        expected: Of a wrong count: how many there should be.
        run_id: The row; None if there is none, as for missing ones.
        revision: The definition then in force; None outside of the job's life.
        is_certain: Whether it is proven; else the rules of then are not those of now.
    """

    kind: Kind
    first: Micros
    last: Micros
    fire_count: int
    expected: int | None = None
    run_id: int | None = None
    revision: int | None = None
    is_certain: bool = True


def differences(
    eras: Sequence[Era], recorded: Iterable[Recorded], start: Micros, end: Micros
) -> Iterator[Difference]:
    """Yield in what the rows of a job differ from its definitions, in the order of time.

    Args:
        eras: In the order of their revisions.
        recorded: Rows in the order of their fire times; none that ends at or before `start`.
        start: Fire times after this have to be there: when the job was added, say.
        end: Fire times before this have to be there, and none else may: the job's watermark.
    """
    rows = _Rows(recorded)
    yield from rows.outside(max([start, *(era.since for era in eras[:1])]))
    for era, low, until in reigns(eras, start, end):
        found = _uncomputable if era.times is None else _within
        yield from found(era, rows, low + 1, until + 1)
    yield from rows.outside(None)


def reigns(eras: Sequence[Era], start: Micros, end: Micros) -> Iterator[Reign]:
    """Yield which definition was in force when, between `start` and `end`, both excluded."""
    for index, era in enumerate(eras):
        # If the clock was set back between two changes, the later definition may begin earlier: it wins.
        until = min([end - 1, *(later.since for later in eras[index + 1 :])])
        low = max(start, era.since)
        if low < until:
            yield Reign(era, low, until)


class _Rows:
    """The rows, with a look at the next one; watches over the order in which they were written."""

    def __init__(self, recorded: Iterable[Recorded]) -> None:
        self._rows = iter(recorded)
        self._next = next(self._rows, None)
        self._newest = 0

    def before(self, end: Micros) -> Iterator[Recorded]:
        """Yield the rows that begin before an instant."""
        row = self._next
        while row is not None and row.fire_at < end:
            yield row
            row = self._next = next(self._rows, None)

    def outside(self, until: Micros | None) -> Iterator[Difference]:
        """Yield as extra what belongs to no era: rows that end at or before an instant, or all the others."""
        while (row := self._next) is not None and (until is None or row.last_fire_at <= until):
            yield Difference(Kind.EXTRA, row.fire_at, row.last_fire_at, row.fire_count, run_id=row.run_id)
            self._next = next(self._rows, None)

    def misplaced(self, row: Recorded, era: Era) -> Iterator[Difference]:
        """Yield what is wrong with the place of a row, whatever the fire times of its era.

        Fire times are decided in order, so it was written after those before it; and by the definition in
        force.
        """
        if row.run_id <= self._newest:
            yield _about(row, Kind.ORDER, era)
        self._newest = max(self._newest, row.run_id)
        if row.revision not in {None, era.revision}:
            yield _about(row, Kind.REVISION, era)._replace(is_certain=True)


class _Expected:
    """The fire times of an era, one after another."""

    def __init__(self, times: FireTimes, low: Micros, high: Micros) -> None:
        self._times = times
        self._high = high
        self._seat(low)

    def _seat(self, low: Micros) -> None:
        self._iterator = iter(self._times.iter_us(low, self._high))
        self.head = next(self._iterator, None)

    def step(self) -> None:
        """Go on to the next fire time."""
        self.head = next(self._iterator, None)

    def pass_over(self, until: Micros) -> tuple[int, Micros]:
        """Go on to the first fire time at or after an instant; return how many were passed, and the last."""
        count, last = 0, until
        while self.head is not None and self.head < until:
            if count == _STEPS:
                stop = min(until, self._high)
                count += self._times.count_us(self.head, stop)
                last = self._times.prev_us(stop) or self.head
                self._seat(stop)
                break
            count, last = count + 1, self.head
            self.step()
        return count, last


def _within(era: Era, rows: _Rows, low: Micros, high: Micros) -> Iterator[Difference]:
    """Yield the differences in `low <= fire time < high`, where one definition was in force."""
    times = era.times
    if times is None:
        raise InvariantError(f"revision {era.revision} has no fire times to compare with")
    expected = _Expected(times, low, high)
    is_known = True

    def missing(until: Micros) -> Iterator[Difference]:
        first = expected.head
        if first is not None and first < until:
            count, last = expected.pass_over(until)
            is_certain = era.is_certain and is_known
            yield Difference(Kind.MISSING, first, last, count, revision=era.revision, is_certain=is_certain)

    for row in rows.before(high):
        yield from rows.misplaced(row, era)
        if row.fire_at == expected.head and row.fire_count == 1 and row.last_fire_at == row.fire_at:
            expected.step()
        else:
            yield from missing(row.fire_at)
            yield from _spanning(era, times, row, expected, low)
        is_known = not row.is_last_known
    yield from missing(high)


def _spanning(
    era: Era, times: FireTimes, row: Recorded, expected: _Expected, low: Micros
) -> Iterator[Difference]:
    """Yield what is wrong with a row that is not just the next fire time; go on behind it."""
    is_expected = row.fire_at == expected.head or era.since < row.fire_at < low
    expected.pass_over(row.last_fire_at + 1)
    if not is_expected:
        is_fire_time = row.fire_at >= low and times.next_us(row.fire_at - 1) == row.fire_at
        yield _about(row, Kind.DOUBLED if is_fire_time else Kind.EXTRA, era)
        return
    count = times.count_us(row.fire_at, row.last_fire_at + 1)
    ends_well = times.next_us(row.last_fire_at - 1) == row.last_fire_at
    if count != row.fire_count or not ends_well:
        yield _about(row, Kind.COUNT, era)._replace(expected=count)


def _about(row: Recorded, kind: Kind, era: Era) -> Difference:
    return Difference(
        *(kind, row.fire_at, row.last_fire_at, row.fire_count),
        run_id=row.run_id,
        revision=era.revision,
        is_certain=era.is_certain,
    )


def _uncomputable(era: Era, rows: _Rows, low: Micros, high: Micros) -> Iterator[Difference]:
    """Yield one difference for an era of which nothing can be proven."""
    count = 0
    for row in rows.before(high):
        count += 1
        yield from rows.misplaced(row, era)
    yield Difference(Kind.UNCOMPUTABLE, low, high - 1, count, revision=era.revision, is_certain=False)
