"""Is this place in order? Each check looks, explains, and says what to do; none changes anything."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cronq import lock
from cronq.errors import CronqError, StoreMissing
from cronq.model import Job
from cronq.schedule.zones import tzdata_version
from cronq.sizes import short_size
from cronq.store import Place, Store, open_store
from cronq.store.swapping import REPLACED, RESCUED, beside, is_same_file, stray_drafts
from cronq.timing import placement_of, times_of
from cronq.worker.accounts import trouble_with

if TYPE_CHECKING:
    from cronq.store.postgres.address import Address

MANY_LOGS_BYTES = 1024**3
LOW_SPACE_BYTES = 64 * 1024 * 1024
_FIXED_SQLITE = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""First releases of their lines without the WAL-reset bug: sqlite.org/wal.html#walresetbug."""


class Finding(NamedTuple):
    """What one check saw.

    Attributes:
        level: `ok`, `warning` or `error`.
        hint: What to do about it; empty if it is fine.
    """

    check: str
    level: str
    message: str
    hint: str = ""


def examine(place: Place, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the findings about a place, the foundations first."""
    yield _zone_data()
    if place.address is not None:
        yield from _server(place, place.address, environ)
        return
    yield _sqlite()
    yield from _files(place)
    yield from _space(place)
    yield from _lost(place)
    try:
        store = open_store(place, read_only=True, environ=environ)
    except StoreMissing as error:
        yield Finding("database", "warning", error.message, error.hint)
        return
    except CronqError as error:
        yield Finding("database", "error", error.message, error.hint)
        return
    try:
        yield _integrity(store, place)
        yield _scheduler(place, store)
        yield from _jobs(store)
        yield from _pings(store)
        yield from _logs(place, store)
    except CronqError as error:
        # Nothing that is built on a damaged database is worth a look.
        yield Finding("database", "error", error.message, error.hint)
    finally:
        store.close()


def _server(place: Place, address: Address, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look at a ledger in a server, and at what this host has of it."""
    from cronq.doctor_server import look, look_at_nodes

    is_usable = True
    for finding in look(address, environ):
        is_usable = is_usable and finding.level != "error"
        yield finding
    if not is_usable:
        return
    try:
        store = open_store(place, read_only=True, environ=environ)
    except StoreMissing:
        return  # said already
    except CronqError as error:
        yield Finding("database", "error", error.message, error.hint)
        return
    try:
        yield look_at_nodes(store, place, environ)
        for finding in _jobs(store):
            # Another host may have what is missing here.
            is_here = finding.level == "error"
            yield finding._replace(
                level="warning" if is_here else finding.level,
                message=finding.message + (", on this host" if is_here else ""),
            )
        yield from _pings(store)
    except CronqError as error:
        yield Finding("database", "error", error.message, error.hint)
    finally:
        store.close()


def _zone_data() -> Finding:
    data = tzdata_version()
    return Finding("zone data", "ok", f"version {data.version}, from the {data.source}")


def _sqlite() -> Finding:
    version = tuple(int(part) for part in sqlite3.sqlite_version.split("."))
    fixed = version >= _FIXED_SQLITE[0] or any(
        line[:2] == version[:2] and version >= line for line in _FIXED_SQLITE
    )
    if fixed:
        return Finding("sqlite", "ok", f"version {sqlite3.sqlite_version}")
    return Finding(
        "sqlite",
        "ok",
        f"version {sqlite3.sqlite_version}; its rare WAL-reset bug (fixed in 3.51.3) is avoided:"
        " only the scheduler checkpoints",
    )


def _files(place: Place) -> Iterator[Finding]:
    """Look at who can read and write what belongs to the database."""
    folders = {place.attempts, place.logs}
    loose, is_well = [], True
    for path in (place.database, place.lock, place.bell, *folders):
        try:
            info = path.lstat()
        except OSError:
            continue
        problem = hint = ""
        if stat.S_ISLNK(info.st_mode) or info.st_uid not in {os.geteuid(), 0}:
            problem, hint = "is not a plain file or folder of yours", f"look at it, then remove it: rm {path}"
        elif (path in folders) != stat.S_ISDIR(info.st_mode):
            problem = "is not a folder" if path in folders else "is a folder"
            hint = f"nothing can be started: look at it, then move it away: mv {path} {path}.old"
        elif info.st_mode & 0o077:
            loose.append(path)
        if problem:
            is_well = False
            if path == place.database:
                hint = "make sure whose it is; then use another with --db, or make it yours with chown"
            yield Finding("files", "error", f"{path} {problem}", hint)
    if loose:
        listed = " ".join(str(path) for path in loose)
        yield Finding("files", "warning", f"others have rights on {listed}", f"chmod go= {listed}")
    elif is_well:
        yield Finding("files", "ok", "only you can read and write them")


def _space(place: Place) -> Iterator[Finding]:
    for what, path in (("database", place.database), ("logs", place.logs), ("attempts", place.attempts)):
        directory = _existing(path)
        try:
            space = os.statvfs(directory)
        except OSError as error:
            yield Finding("disk", "error", f"{directory}: {error.strerror}")
            continue
        free = space.f_bavail * space.f_frsize
        if not os.access(directory, os.W_OK):
            hint = "mount it writable, or check its owner and mode: nothing is started meanwhile"
            yield Finding("disk", "error", f"{directory} cannot be written", hint)
        elif free < LOW_SPACE_BYTES:
            message = f"{free // 1024} KiB are free for the {what} in {directory}"
            yield Finding("disk", "error", message, "free some space: nothing is started while it is full")
        elif what != "attempts":  # they are beside the database
            yield Finding("disk", "ok", f"{free // 1024**2} MiB are free for the {what}")


def _lost(place: Place) -> Iterator[Finding]:
    """Look for files that were taken from under a scheduler, and for what one saved of them."""
    database = place.database
    if lock.is_held(place.lock):
        for path in (database, beside(database, "-wal")):
            if not path.exists():
                hint = (
                    "the scheduler saves what it has open, and ends; then do as it says, and start it again"
                )
                yield Finding("database", "error", f"a scheduler runs, but {path} was removed", hint)
    for rescued in sorted(database.parent.glob(f"{escape(database.name)}{RESCUED}*")):
        hint = f"cronq restore {rescued}; or remove the file if nobody needs it"
        yield Finding("database", "warning", f"what a lost database held was saved in {rescued}", hint)
    for replaced in sorted(database.parent.glob(f"{escape(database.name)}{REPLACED}*")):
        if is_same_file(replaced, database):
            hint = f"the database is as it was: rm {replaced}, and restore again if that is still wanted"
            yield Finding("database", "warning", f"a restore was killed, and left {replaced}", hint)
    for stray in stray_drafts(database):
        message = f"somebody who was killed left an unfinished file: {stray}"
        yield Finding("files", "warning", message, f"rm {stray}*")


def _existing(path: Path) -> Path:
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def _integrity(store: Store, place: Place) -> Finding:
    store.check(thoroughly=True)
    totals = store.totals()
    size = place.database.stat().st_size // 1024
    return Finding("database", "ok", f"sound: {totals.jobs} jobs, {size} KiB")


def _scheduler(place: Place, store: Store) -> Finding:
    if lock.is_held(place.lock):
        holder = lock.read_holder(place.lock)
        return Finding("scheduler", "ok", f"running, pid {holder.pid}" if holder else "running")
    waiting = store.totals().queued
    message = "not running" + (f", and {waiting} runs wait for one" if waiting else "")
    return Finding("scheduler", "warning", message, "start one with `cronq run`")


def _logs(place: Place, store: Store) -> Iterator[Finding]:
    """Look whether logs are filling the disk while nothing limits them."""
    if store.limited_jobs():
        return
    try:
        space = os.statvfs(_existing(place.logs))
    except OSError:
        return  # said already
    many = max(MANY_LOGS_BYTES, space.f_bavail * space.f_frsize // 2)
    if _is_larger(place.logs, many):
        message = f"the logs take more than {short_size(many)}, and no job has limits"
        yield Finding(
            "logs", "warning", message, "cronq set NAME --keep 30d, or for once: cronq prune --keep 30d"
        )


def _is_larger(folder: Path, limit: int) -> bool:
    """Return whether the files below a folder take more than this on the disk; stops as soon as they do."""
    taken = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                taken += os.lstat(f"{directory}/{name}").st_blocks * 512
            if taken > limit:
                return True
    return False


def _jobs(store: Store) -> Iterator[Finding]:
    troubles = 0
    calendars = store.calendars()
    for overview in store.overviews(recent=0):
        for message, hint in _troubles(overview.job, calendars):
            troubles += 1
            yield Finding("job", "error", message, hint)
    for error in store.unreadable():
        troubles += 1
        yield Finding("job", "error", error.message, error.hint)
    if not troubles:
        yield Finding(
            "jobs", "ok", "every schedule can be computed, and every file and user they name is there"
        )


def _pings(store: Store) -> Iterator[Finding]:
    """Look whether pings of jobs can be sent at all."""
    from importlib.util import find_spec

    pinged = [one.job.name for one in store.overviews(recent=0) if one.job.definition.ping is not None]
    if not pinged:
        return
    have = f"{pinged[0]} has --ping" if len(pinged) == 1 else f"{len(pinged)} jobs have --ping"
    if find_spec("urllib3") is None:
        message = f"{have}, and nothing is sent: urllib3 is missing"
        yield Finding("pings", "error", message, "pip install 'cronq-cli[ping]'")
    else:
        yield Finding("pings", "ok", f"{have}, and urllib3 is there")


def _troubles(job: Job, calendars: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    name, definition = job.name, job.definition
    try:
        times_of(job, calendars)
        placement_of(job)
    except CronqError as error:
        yield f"{name}: {error.message}", f"cronq set {name} with a schedule and zone that exist"
    if not Path(definition.cwd).is_dir():
        yield f"{name}: its working directory {definition.cwd} is gone", f"cronq set {name} --cwd DIR"
    for option, path in (("--env-file", definition.env_file), ("--stdin", definition.stdin)):
        if path is not None and not os.access(path, os.R_OK):
            yield f"{name}: {path} cannot be read", f"cronq set {name} {option} FILE"
    if trouble := trouble_with(definition.user):
        yield f"{name}: {trouble}", f"cronq set {name} --user NAME"
    if definition.env_file is not None and _is_open_to_others(Path(definition.env_file)):
        yield f"{name}: others can read {definition.env_file}", f"chmod 600 {definition.env_file}"


def _is_open_to_others(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o077)
    except OSError:
        return False
