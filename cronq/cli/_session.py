"""One call of the command line: what was asked, where it applies, and how to answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from cronq.cli._terminal import Environment
from cronq.model import Micros
from cronq.render.terminal import Terminal
from cronq.render.text import Tone, Word, harmless, json_safe, paint, plain, tab_separated

if TYPE_CHECKING:
    from datetime import tzinfo

    import typer

    from cronq.store import Place, Store


class Options(NamedTuple):
    """The options that every command takes, at any position."""

    db: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    color: str | None = None
    tz: str | None = None
    plain: bool = False
    header: bool | None = None
    ascii: bool = False

    def merged(self, later: Mapping[str, object]) -> Options:
        """Return these, overridden by those given further to the right."""
        values = {name: value for name, value in later.items() if value is not None and value is not False}
        if later.get("header") is False:
            values["header"] = False
        return self._replace(**values)  # type: ignore[arg-type]


class Session:
    """What a command gets: its world, its options, and the ways to answer.

    Attributes:
        fields: Definition options as they were typed, for the commands that take them.
        argv: The words after `--`; None if there was no `--`.
        command: What is being parsed, as in `cronq list`.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.options = Options()
        self.fields: Mapping[str, object] = {}
        self.argv: tuple[str, ...] | None = None
        self.command = "cronq"

    @staticmethod
    def of(ctx: typer.Context) -> Session:
        """Return the session that the front door put into Typer's context."""
        return cast("Session", ctx.obj)

    @cached_property
    def terminal(self) -> Terminal:
        """The streams, judged under the options."""
        return self.environment.terminal(color=self.options.color or "auto", ascii_only=self.options.ascii)

    @cached_property
    def started_at(self) -> Micros:
        """Now, once for the whole command: all that it prints is about one instant."""
        return self.environment.now()

    @property
    def for_people(self) -> bool:
        """Whether standard output is read by a person, so that symbols, colours and cutting are fine."""
        return self.terminal.out_is_tty and not self.options.plain and not self.options.json

    @property
    def header(self) -> bool:
        """Whether a table gets its header."""
        return self.for_people if self.options.header is None else self.options.header

    # Where

    @cached_property
    def place(self) -> Place:
        """Where the database is, by the rules of `cronq.store.location`."""
        from cronq.store.location import find_place

        environ = self.environment.environ
        named = self.options.db or environ.get("CRONQ_DB") or ""
        # A database that is named in full is found even from a working directory that is gone.
        in_full = ("/", "~", "postgresql:", "postgres:", "postgresql+")
        cwd = Path("/") if named.startswith(in_full) else self.environment.cwd()
        return find_place(self.options.db, environ, cwd)

    @contextmanager
    def store(self, *, create: bool = False, read_only: bool = False) -> Iterator[Store]:
        """Open the database for a while."""
        from cronq.store import open_store

        if self.options.verbose:
            self.tell(f"database: {self.shown_place} ({self.place.rule})")
        store = open_store(self.place, create=create, read_only=read_only, environ=self.environment.environ)
        try:
            self._follow_clock_of(store)
            if not read_only:
                self._warn_of_move(store)
            yield store
            for error in store.unreadable():
                self.warn(f"{error.message}; {error.hint}")
        finally:
            store.close()

    @contextmanager
    def made_store(self) -> Iterator[Store]:
        """Open the database for a while; if there is none, make it, and say so."""
        from cronq.store.opening import exists

        is_first = not exists(self.place)
        with self.store(create=True) as store:
            if is_first:
                self.tell(f"created {self.shown_place}")
            yield store

    @property
    def shown_place(self) -> str:
        """What people call the database: its path, or its address without secrets."""
        return self.tilde(self.place.shown)

    def refuse_server(self, what: str, hint: str) -> None:
        """Raise UsageError if the ledger is in a server, for what works with a database file alone."""
        if self.place.address is not None:
            from cronq.errors import UsageError

            raise UsageError(f"{what}; this ledger is in a PostgreSQL server", hint=hint)

    def is_scheduler_alive(self) -> bool:
        """Return whether a scheduler lives, when no store is open; False if a server cannot be asked."""
        if self.place.address is None:
            from cronq.lock import is_held

            return is_held(self.place.lock)
        from cronq.alive import is_scheduler_alive
        from cronq.errors import CronqError
        from cronq.store import open_store

        try:
            store = open_store(self.place, read_only=True, environ=self.environment.environ)
        except CronqError:
            return False
        try:
            return is_scheduler_alive(self.place, store)
        finally:
            store.close()

    def _warn_of_move(self, store: Store) -> None:
        from cronq.store.moved import MOVED_TO

        where = store.fact(MOVED_TO)
        if where:
            self.warn(f"this ledger was moved to {where}; nobody executes what is changed here")

    def _follow_clock_of(self, store: Store) -> None:
        """Take the time of a database that several hosts share: theirs may differ.

        Not if something was computed from this host's already: all of a command is about one instant.
        """
        if self.place.address is not None and "started_at" not in self.__dict__:
            from cronq.store.postgres.store import PostgresStore

            assert isinstance(store, PostgresStore)
            self.started_at = store.database_now()

    def ring(self) -> None:
        """Tell a live scheduler that the database has news."""
        from cronq.doorbell import ring

        ring(self.place.bell)

    def tz(self, otherwise: str | None = None) -> str:
        """Return the zone's name that was given with `--tz`, else this one, else the machine's."""
        if self.options.tz is not None:
            return self.options.tz
        return otherwise if otherwise is not None else self.local_zone_name()

    def zone(self, name: str | None = None) -> tzinfo:
        """Return the zone in which to show times; see `tz`. Raises: TimezoneError."""
        from cronq.schedule.zones import zone

        return zone(self.tz(name))

    def shown_zone(self, name: str) -> tzinfo:
        """Return the zone to show a job's times in; UTC if its own is gone from the zone data."""
        from datetime import UTC

        from cronq.errors import TimezoneError

        try:
            return self.zone(name)
        except TimezoneError:
            if self.options.tz is not None:
                raise
            return UTC

    def local_zone_name(self) -> str:
        """Return the name of the machine's zone."""
        if self.environment.local_zone is not None:
            return self.environment.local_zone()
        from cronq.schedule.zones import local_zone_name

        name = local_zone_name()
        asked = self.environment.environ.get("TZ", "").removeprefix(":")
        if name == "UTC" and asked and not asked.upper().startswith(("UTC", "GMT", "ETC/")):
            # What is recorded with a job must not be a guess that nobody saw.
            self.warn(f"TZ={plain(asked)} names no zone; UTC is taken (choose one with --tz)")
        return name

    def tilde(self, path: str) -> str:
        """Return a path with the home directory as `~`, for people."""
        home = self.environment.environ.get("HOME", "").rstrip("/")
        return f"~{path[len(home) :]}" if home and path.startswith(f"{home}/") else path

    # The answer: standard output

    def line(self, text: str = "") -> None:
        """Write one line of the answer."""
        self.lines((text,))

    def lines(self, texts: Iterable[str]) -> None:
        """Write lines of the answer.

        Whatever is in them stays on its line and is harmless, wherever it is from.
        """
        show = harmless if self.terminal.out_color else partial(plain, keep="\t")
        self.terminal.out.write("".join(f"{show(text)}\n" for text in texts))

    def words(self, *words: Word | str) -> None:
        """Write one line of painted words, as they stand."""
        pieces = (Word(word) if isinstance(word, str) else word for word in words)
        self.line("".join(paint(word, color=self.terminal.out_color) for word in pieces))

    def rows(self, header: list[str], rows: Iterable[list[str]]) -> None:
        """Write tab-separated lines, the form for pipes."""
        if self.header:
            self.line(tab_separated(header))
        self.lines(tab_separated(row) for row in rows)

    def json(self, document: Mapping[str, object]) -> None:
        """Write one JSON object, with the number of the schema first."""
        import json

        self._write_json(json.dumps({"schema": 1, **document}, ensure_ascii=False, indent=2))

    def json_line(self, document: Mapping[str, object]) -> None:
        """Write one JSON object on one line, at once: an element of a stream."""
        import json

        self._write_json(json.dumps({"schema": 1, **document}, ensure_ascii=False))
        self.terminal.out.flush()

    def _write_json(self, text: str) -> None:
        self.terminal.out.write(f"{json_safe(text)}\n")

    # Talk: standard error

    def tell(self, text: str) -> None:
        """Say something beside the answer; `--quiet` silences it, and so does `--json`."""
        if not self.options.quiet and not self.options.json:
            self.terminal.err.write(f"{plain(text)}\n")

    def warn(self, text: str) -> None:
        """Warn about something that was done all the same."""
        mark = paint(Word("warning:", Tone.YELLOW), color=self.terminal.err_color)
        if not self.options.quiet:
            self.terminal.err.write(f"{mark} {plain(text)}\n")

    def note(self, text: str) -> None:
        """Point out something that is good to know."""
        self.tell(f"note: {text}")

    def hint(self, text: str) -> None:
        """Say what to do next."""
        self.tell(f"hint: {text}")
