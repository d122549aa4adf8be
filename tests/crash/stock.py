"""Jobs that are put into a database with a past: thousands of fire times of theirs are due already."""

from __future__ import annotations

from pathlib import Path

from cronq.clock import datetime_from_us, now_us
from cronq.model import SECOND, CatchUp, Command, CommandKind, Definition, Micros, Overlap
from cronq.store import NewJob, Store, find_place, open_store
from tests.crash.program import Cronq

PATH = "/usr/local/bin:/usr/bin:/bin"


def stock_store(cronq: Cronq) -> Store:
    """Open the database that the program uses."""
    return open_store(find_place(str(cronq.database), {}, cronq.home), create=True)


def argv(*words: str) -> Command:
    return Command(CommandKind.ARGV, words)


def overdue(store: Store, name: str, command: Command, *, cwd: Path, every_s: int, count: int) -> None:
    """Add a job of which exactly `count` fire times are due, and none will ever come again."""
    step = every_s * SECOND
    last = (now_us() // step - 1) * step
    definition = Definition(
        command,
        f"every {every_s}s",
        path=PATH,
        cwd=str(cwd),
        valid_until=f"{datetime_from_us(last):%Y-%m-%dT%H:%M:%SZ}",
        overlap=Overlap.ALLOW,
        max_running=None,
        catch_up=CatchUp.ALL,
        catch_up_limit=count,
        catch_up_window_s=10 * 366 * 86_400.0,
    )
    store.add_job(NewJob(name, definition, last - (count - 1) * step), now=now_us())


def due_at(store: Store, name: str, command: Command, at: Micros, **fields: object) -> None:
    """Add a job with one fire time."""
    schedule = f"at {datetime_from_us(at):%Y-%m-%dT%H:%M:%SZ}"
    definition = Definition(command, schedule, path=PATH)._replace(**fields)  # type: ignore[arg-type]
    store.add_job(NewJob(name, definition, at), now=now_us())
