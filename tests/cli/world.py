"""A small world for the command line: streams, a clock, a home, and a hand that plays the scheduler."""

from __future__ import annotations

import io
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cronq.cli._terminal import Environment
from cronq.cli.app import main
from cronq.clock import us_from_datetime
from cronq.model import SECOND, AttemptEnd, AttemptStart, Micros, Outcome, Usage
from cronq.plan import decide
from cronq.schedule.instant import parse_instant
from cronq.store import Store, find_place, open_store
from cronq.timing import placement_of, times_of


class Stream(io.StringIO):
    """A stream that says of itself whether it is a terminal."""

    def __init__(self, text: str = "", *, is_tty: bool = False) -> None:
        super().__init__(text)
        self._is_tty = is_tty

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def isatty(self) -> bool:
        return self._is_tty


@dataclass(frozen=True)
class Answer:
    """What one command did."""

    code: int
    out: str
    err: str


def at(text: str) -> Micros:
    """Return an instant as microseconds."""
    return us_from_datetime(parse_instant(text, tz="UTC", now=datetime(2026, 1, 1, tzinfo=UTC)))


@dataclass
class World:
    """One user's machine; time stands still unless it is moved."""

    root: Path
    now: Micros = field(default_factory=lambda: at("2026-01-02T08:00:00Z"))
    width: int = 80
    tty: bool = True
    local_zone: str = "UTC"
    typed: str | None = None
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("home", "work"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    @property
    def environ(self) -> dict[str, str]:
        """The environment that commands see."""
        return {
            "HOME": str(self.root / "home"),
            "PATH": "/usr/bin:/bin",
            "COLUMNS": str(self.width),
            "TERM": "xterm",
            "NO_COLOR": "1",
            "CRONQ_DEBUG": "1",
            **self.variables,
        }

    def run(self, *arguments: str, tty: bool | None = None) -> Answer:
        """Run one command line."""
        is_tty = self.tty if tty is None else tty
        out, err = Stream(is_tty=is_tty), Stream(is_tty=is_tty)
        stdin = Stream(self.typed or "", is_tty=self.typed is not None)
        environment = Environment(
            stdin,
            out,
            err,
            self.environ,
            cwd=lambda: self.root / "work",
            now=lambda: self.now,
            monotonic=lambda: self.now / SECOND,
            sleep=self.sleep,
            local_zone=lambda: self.local_zone,
        )
        code = main(arguments, environment)
        return Answer(code, self.neutral(out.getvalue()), self.neutral(err.getvalue()))

    def neutral(self, text: str) -> str:
        """Return text without the names of this machine."""
        text = text.replace(str(self.root / "home"), "/home").replace(str(self.root / "work"), "/work")
        return re.sub(r"\b20\d\d[a-z] \(\w+\)", "20xxy (somewhere)", text)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += round(seconds * SECOND)

    def store(self) -> Store:
        """Open the user's database."""
        place = find_place(None, self.environ, self.root / "work")
        return open_store(place, create=True, environ=self.environ)

    def tick(self) -> None:
        """Launch what is due, as the scheduler does."""
        store = self.store()
        due = store.due_jobs(self.now, limit=100)
        known = store.calendars()
        store.launch(
            [decide(d.job, times_of(d.job, known), d.active, self.now, placement_of(d.job)) for d in due],
            now=self.now,
        )
        store.close()

    def tamper(self, statement: str) -> None:
        """Change the database behind cronq's back."""
        place = find_place(None, self.environ, self.root / "work")
        with closing(sqlite3.connect(place.database)) as database, database:
            database.execute(statement)

    def start(self) -> int:
        """Claim and start the next run; return its number."""
        store = self.store()
        (claim,) = store.claim(["worker-1"], "boot-1", now=self.now)
        store.record([AttemptStart(claim.key, 4711, self.now)], [])
        store.close()
        return claim.run.id

    def play(
        self, outcome: Outcome = Outcome.SUCCESS, seconds: float = 1.0, reason: str = "", output: str = ""
    ) -> int:
        """Let the next queued run happen; return its number."""
        store = self.store()
        (claim,) = store.claim(["worker-1"], "boot-1", now=self.now)
        started_at = self.now
        self.sleep(seconds)
        codes = {"exit": int(reason.split()[1])} if reason.startswith("exit ") else {}
        code = 0 if outcome is Outcome.SUCCESS else codes.get("exit")
        store.record(
            [AttemptStart(claim.key, 4711, started_at)],
            [
                AttemptEnd(
                    claim.key,
                    outcome,
                    self.now,
                    reason,
                    started_at=started_at,
                    pid=4711,
                    exit_code=code,
                    usage=Usage(seconds, seconds / 2, seconds / 10, 10_000_000),
                )
            ],
        )
        store.close()
        self.write_log(claim.run.id, claim.run.attempt, output)
        return claim.run.id

    def write_log(self, run_id: int, attempt: int, output: str) -> None:
        """Write the output of an attempt."""
        path = find_place(None, self.environ, self.root / "work").log_file(run_id, attempt)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(output.encode())
