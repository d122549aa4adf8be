"""When the zone data change, so do fire times: watermarks that the old data gave are computed again.

Also one that is due: if the new data name it too, they hold from it on, and the planner decides; if not, it
is the last fire time of the old ones, and recorded as missed. What the ledger accounts for stays as it
happened. Every job that lives in a zone gets a new revision, which remembers the data that compute it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cronq.clock import Clock, datetime_from_us
from cronq.errors import CronqError
from cronq.model import Job, Micros
from cronq.plan import Launch, lapse
from cronq.redefine import redefine
from cronq.schedule.zones import tzdata_version, were_replaced
from cronq.store import JobChange, Store
from cronq.timing import forget_zone_data, times_of

FACT = "tzdata"
PAGE = 500
LOOK_S = 60.0
"""How often to look at most whether the zone data were replaced."""


class ZoneWatch:
    """Follows zone data that are replaced while a scheduler lives; it wakes nobody up."""

    def __init__(
        self, store: Store, clock: Clock, tell: Callable[[str], None], *, is_alone: bool = True
    ) -> None:
        self._is_alone = is_alone
        self._store = store
        self._clock = clock
        self._tell = tell
        self._next_at = 0.0
        self._is_behind = False

    def start(self, now: Micros) -> None:
        """Follow what changed while no scheduler lived."""
        self._follow(now, anyway=False)

    def look(self, now: Micros) -> None:
        """Follow the data if they were replaced; only now and then.

        Raises:
            StoreError: The next look tries again.
        """
        if not self._is_behind:
            monotonic = self._clock.monotonic()
            if monotonic < self._next_at:
                return
            self._next_at = monotonic + LOOK_S
            if not were_replaced():
                return
            forget_zone_data()
            self._is_behind = True
        self._follow(now, anyway=True)
        self._is_behind = False

    def are_outdated(self) -> bool:
        """Return whether the data in use were replaced; then the next look does not wait.

        To be asked when a watermark or a zone makes no sense.
        """
        if not were_replaced():
            return False
        self._next_at = 0.0
        return True

    def _follow(self, now: Micros, *, anyway: bool) -> None:
        for message in follow_zone_data(self._store, now, anyway=anyway, is_alone=self._is_alone):
            self._tell(message)
        self._next_at = self._clock.monotonic() + LOOK_S


def follow_zone_data(
    store: Store,
    now: Micros,
    version: str | None = None,
    *,
    anyway: bool = False,
    is_alone: bool = True,
) -> list[str]:
    """Renew the watermarks if the zone data are not those that computed them.

    Args:
        store: Of a scheduler that holds the lock.
        now: Wall time.
        version: Of the data in use, as `2026f`; by default asked of `cronq.schedule.zones`.
        anyway: Their version may be the same, and they are not.
        is_alone: Nobody else schedules from this store, with data of another host. Else older data than
            those in force change nothing, or two hosts would take turns for ever.

    Returns:
        What moved, a line a job; empty if nothing did.
    """
    version = tzdata_version().version if version is None else version
    before = store.fact(FACT)
    if before == version and not anyway:
        return []
    if before is not None and version < before and not is_alone:
        return [f"the zone data here ({version}) are older than those in force ({before}): renew them"]
    told = []
    if before is not None:
        jobs = store.scheduled_jobs(limit=PAGE)
        while jobs:
            told += _renew(store, jobs, now, before, version)
            jobs = store.scheduled_jobs(after=jobs[-1].name, limit=PAGE)
    store.set_fact(FACT, version)
    return told


def _renew(store: Store, jobs: list[Job], now: Micros, before: str, version: str) -> list[str]:
    """Put the new data in force for these jobs; return what moved."""
    calendars = store.calendars()
    changes = [c for job in jobs if (c := _changed(store, job, now, version, calendars)) is not None]
    if before == version:
        # As when a package is installed again: it is no news to most jobs.
        changes = [one for one in changes if one.settled.next_fire_at != one.settled.job.next_fire_at]
    if not changes:
        return []
    if store.change_jobs(changes, now=now) is None:
        # Somebody changed one of them just now, with the new data; the others one by one.
        changes = [change for change in changes if store.change_jobs([change], now=now) is not None]
    return [line for change in changes if (line := _told(change.settled, f"{before} → {version}"))]


def _changed(
    store: Store, job: Job, now: Micros, version: str, calendars: Mapping[str, str]
) -> JobChange | None:
    if job.next_fire_at is None or job.definition.tz == "UTC":
        return None
    try:
        (due,) = store.due([job.name])
        times = times_of(job, calendars)
    except CronqError:
        return None  # the scheduler sets such a job aside when it falls due, and says why
    unsettled = Launch(job, (), job.next_fire_at)
    if job.next_fire_at > now:
        change = redefine(due, unsettled, job.definition, times, due.since(now))
    elif times.next_us(job.next_fire_at - 1) == job.next_fire_at:
        change = redefine(due, unsettled, job.definition, times, job.next_fire_at - 1)
        change = change._replace(settled=unsettled)
    else:
        # Here and not by the planner: the row is of the revision that promised it.
        change = redefine(due, lapse(job, job.next_fire_at), job.definition, times, job.next_fire_at)
    return change._replace(tzdata=version)


def _told(settled: Launch, data: str) -> str:
    before, after = settled.job.next_fire_at, settled.next_fire_at
    if before is None or before == after:
        return ""
    moved_to = "never" if after is None else f"{datetime_from_us(after):%Y-%m-%d %H:%M} UTC"
    moved_from = f"{datetime_from_us(before):%Y-%m-%d %H:%M} UTC"
    return f"{settled.job.name}: next run moved from {moved_from} to {moved_to} (zone data {data})"
