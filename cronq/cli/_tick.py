"""What `cronq tick` was asked, where its jobs come from, and one tick from the lock to the exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from cronq.cli._errors import raise_all
from cronq.clock import datetime_from_us, now_us, us_from_datetime
from cronq.errors import CronqError, ExitCode, SchedulerRunning, UsageError
from cronq.model import Micros

if TYPE_CHECKING:
    from cronq.cli._session import Session
    from cronq.report.verdict import FailOn
    from cronq.store import Place
    from cronq.wish import Wish

DEFAULT_FILE = "cronq.toml"
MAX_WORKERS = 10_000
POLL_S = 0.5
"""How often to look whether another tick has ended."""

_T = TypeVar("_T")


class Typed(NamedTuple):
    """The options as they were typed."""

    file: str | None
    state: str | None
    on_missing: str
    max_age: str | None
    budget: str | None
    drain: str | None
    now: str | None
    only: tuple[str, ...]
    tags: tuple[str, ...]
    fail_on: str | None
    dry_run: bool
    wait: str | None
    workers: int
    output: str
    junit: str | None
    logs: str | None


class Asked(NamedTuple):
    """What was asked, read.

    Attributes:
        file: Of the jobs; None: they are in the database already.
        state: The portable state; None: the database is the cursor.
        since: Where a first tick begins; None: it is refused.
        wait_s: How long to wait for the lock.
    """

    wish: Wish
    fail_on: FailOn
    file: Path | None
    state: Path | None
    since: Micros | None
    wait_s: float
    output: str
    junit: Path | None
    logs: Path | None


def tick(session: Session, typed: Typed) -> int:
    """Run one tick; return the exit code."""
    asked = read(session, typed)
    if asked.state is not None:
        session.place = place_of(asked.state, session.place if session.options.db else None)
    session.refuse_server(
        "`tick` works with a database file", "`cronq run --until-idle` does the same; or --db FILE"
    )
    if asked.file is None and not session.place.database.exists():
        looked = "" if session.options.db else f"neither {session.environment.cwd() / DEFAULT_FILE} nor "
        raise UsageError(
            f"there are no jobs: {looked or 'no '}database at {session.place.database}",
            hint="name the file of jobs with --file",
        )
    if not typed.dry_run and _is_idle(session, asked):
        return _answer_idle(session, asked)
    from cronq.cli._tick_work import dry_run, work

    if typed.dry_run:
        return dry_run(session, asked)
    ends_at = session.environment.monotonic() + asked.wait_s
    while True:
        try:
            return work(session, asked)
        except SchedulerRunning:
            if session.environment.monotonic() >= ends_at:
                raise
            session.environment.sleep(POLL_S)


def read(session: Session, typed: Typed) -> Asked:
    """Return what the options say. Raises: UsageError: All that is wrong with them, at once."""
    from cronq.report.verdict import FailOn, read_fail_on
    from cronq.wish import DRAIN_S, Wish

    problems: list[CronqError] = []

    def tried(option: str, reader: Callable[[str], _T], text: str | None) -> _T | None:
        try:
            return None if text is None else reader(text)
        except CronqError as error:
            message = error.message if error.message.startswith("--") else f"{option}: {error.message}"
            problems.append(type(error)(message, hint=error.hint, text=error.text, span=error.span))
            return None

    def seconds(text: str) -> float:
        from cronq.schedule.duration import parse_duration

        return parse_duration(text)

    def instant(text: str) -> Micros:
        from cronq.schedule.instant import parse_instant

        now = datetime_from_us(session.environment.now())
        return us_from_datetime(parse_instant(text, tz=session.tz(), now=now))

    given = tried("--now", instant, typed.now)
    if given is not None:
        _let_it_be(session, given)
    now = session.started_at
    since: Micros | None = now
    if typed.on_missing == "fail":
        since = None
    elif typed.on_missing.startswith("since="):
        since = tried("--on-missing", instant, typed.on_missing.removeprefix("since="))
        if since is not None and since > now:
            problems.append(UsageError("--on-missing: `since` is in the future"))
    elif typed.on_missing != "now":
        problems.append(
            UsageError(
                "--on-missing is none of now, since=TIME and fail", hint="--on-missing since=yesterday"
            )
        )
    if typed.output not in {"fail", "all", "none"}:
        problems.append(UsageError("--output is none of fail, all and none"))
    if not 1 <= typed.workers <= MAX_WORKERS:
        problems.append(UsageError(f"--workers must be 1 to {MAX_WORKERS}, not {typed.workers}"))
    wish = Wish(
        now,
        tried("--budget", seconds, typed.budget),
        DRAIN_S if typed.drain is None else tried("--drain", seconds, typed.drain) or 0.0,
        _several(typed.only),
        _several(typed.tags),
        tried("--max-age", seconds, typed.max_age),
        typed.workers,
        0 if session.environment.now is now_us else session.environment.now() - now_us(),
    )
    fail_on = tried("--fail-on", read_fail_on, typed.fail_on)
    wait_s = tried("--wait", seconds, typed.wait)
    state = None if typed.state is None else _path(session, typed.state)
    try:
        file = _file(session, typed, needs_one=state is not None)
    except UsageError as error:
        problems.append(error)
        file = None
    raise_all(problems)
    return Asked(
        wish,
        fail_on or FailOn(),
        file,
        state,
        since,
        wait_s or 0.0,
        typed.output,
        None if typed.junit is None else _path(session, typed.junit),
        None if typed.logs is None else _path(session, typed.logs),
    )


def _several(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for text in texts for word in text.split(",")))


def _let_it_be(session: Session, now: Micros) -> None:
    """Shift the time of this command; it goes on from there."""
    by = now - session.environment.now()
    before = session.environment.now
    session.environment = session.environment._replace(now=lambda: before() + by)
    session.__dict__["started_at"] = now


def _file(session: Session, typed: Typed, *, needs_one: bool) -> Path | None:
    if typed.file is not None:
        path = _path(session, typed.file)
        if not path.is_file():
            raise UsageError(
                f"there is no file {path}", hint="write one; `cronq export` shows what it looks like"
            )
        return path
    if session.options.db is not None and not needs_one:
        return None
    path = session.environment.cwd() / DEFAULT_FILE
    if path.is_file():
        return path
    if needs_one:
        raise UsageError(
            f"--state needs the jobs in a file, and there is no {path}", hint="name one with --file"
        )
    return None


def _path(session: Session, text: str) -> Path:
    path = Path(text).expanduser()
    return path if path.is_absolute() else session.environment.cwd() / path


def _is_idle(session: Session, asked: Asked) -> bool:
    """Return whether there is nothing to do at all; no lock is taken to find out, and nothing is written.

    Raises:
        SchedulerRunning: Somebody has the lock, and may be about to change that.
    """
    from contextlib import closing

    from cronq.cli._tick_file import has_same_zones, is_brought_in
    from cronq.store.moved import refuse_moved
    from cronq.store.sqlite_tick import open_tick_store

    place = session.place
    if not place.database.exists():
        return False
    text = None
    if asked.state is not None:
        from cronq.keeping import belongs, read_file

        text = read_file(asked.state)
        # What was running then may have ended since, and its worker has written it to the ledger alone.
        if text is None or " state=running " in text:
            return False
    with closing(open_tick_store(place, read_only=True, environ=session.environment.environ)) as store:
        refuse_moved(store)
        if text is not None and not belongs(store, text):
            return False
        if asked.file is not None and not is_brought_in(session, store, asked.file):
            return False
        store.limit(asked.wish.limits)
        if store.has_anything_to_do() or not has_same_zones(store):
            return False
    from cronq.lock import is_held, running

    if is_held(place.lock):
        raise running(place.lock)
    return True


def place_of(state: Path, named: Place | None) -> Place:
    """Return where the ledger of a portable state is: at the place that was named, else beside the state."""
    if named:
        return named
    from cronq.store.location import Place

    database = state.resolve().with_name(f"{state.name}.db")
    return Place(database, database.with_name(f"{database.name}.logs"), "--state")


def _answer_idle(session: Session, asked: Asked) -> int:
    from cronq.cli._tick_told import tell_tick
    from cronq.report.cases import Tick

    tick, code = Tick(asked.wish.now), ExitCode.OK
    if asked.junit is not None or asked.logs is not None:
        from cronq.cli._tick_files import write_files

        if not write_files(session, None, asked, tick, ()):
            code = ExitCode.FAILED
    tell_tick(session, tick, code)
    return int(code)
