"""The options that make up a job's definition, for `add` and `set`, and how each is read.

They reach us as text, because Typer would stop at the first one that is wrong; here all of them are read,
and all errors are told at once.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import Annotated, NamedTuple

import typer

from cronq.cli._app import CronqCommand
from cronq.errors import CronqError, DurationError, UsageError
from cronq.model import CatchUp, OnCrash, Overlap
from cronq.names import DEFAULT_QUEUE, QUEUE_HINT, is_queue
from cronq.render.text import plain
from cronq.sizes import parse_size

LEAST_OUTPUT = 64 * 1024
"""The smallest cap of output: a head and a tail that are worth reading."""

Text = str | None
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?")


class Dst(StrEnum):
    """What a clock change does to a fixed time."""

    CRON = "cron"
    SKIP = "skip"
    BOTH = "both"


def definition_options(
    dst: Annotated[
        Text, typer.Option("--dst", metavar="cron|skip|both", help="Rule at clock changes.")
    ] = None,
    shell: Annotated[Text, typer.Option("--shell", metavar="LINE", help="Run this shell line.")] = None,
    python: Annotated[
        Text, typer.Option("--python", metavar="MODULE:FUNC", help="Call this Python function.")
    ] = None,
    args: Annotated[
        Text, typer.Option("--args", metavar="JSON", help="Its arguments: a JSON list or object.")
    ] = None,
    cwd: Annotated[
        Text, typer.Option("--cwd", metavar="DIR", help="Working directory (default: this one).")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", metavar="K=V", help="Set a variable; may be repeated.")
    ] = None,
    env_file: Annotated[
        Text, typer.Option("--env-file", metavar="FILE", help="Read variables from a file at each start.")
    ] = None,
    inherit_env: Annotated[
        bool, typer.Option("--inherit-env", help="Record all variables of this shell.")
    ] = False,
    stdin: Annotated[
        Text, typer.Option("--stdin", metavar="FILE", help="Read standard input from a file.")
    ] = None,
    timeout: Annotated[
        Text,
        typer.Option("--timeout", metavar="DURATION", help="Stop a run after this long (default: none)."),
    ] = None,
    kill_after: Annotated[
        Text, typer.Option("--kill-after", metavar="DURATION", help="From TERM to KILL (default: 10s).")
    ] = None,
    success_codes: Annotated[
        Text, typer.Option("--success-codes", metavar="CODES", help="Exit codes of success (default: 0).")
    ] = None,
    overlap: Annotated[
        Text,
        typer.Option(
            "--overlap",
            metavar="skip|queue|replace|allow",
            help="When the job still runs at its next fire time (default: skip).",
        ),
    ] = None,
    max_running: Annotated[
        Text, typer.Option("--max-running", metavar="N", help="Runs at a time (default: 1; allow: no limit).")
    ] = None,
    max_queued: Annotated[
        Text,
        typer.Option("--max-queued", metavar="N", help="Runs that wait under overlap queue (default: 10)."),
    ] = None,
    catch_up: Annotated[
        Text,
        typer.Option(
            "--catch-up",
            metavar="skip|latest|all",
            help="What becomes of missed fire times (default: latest).",
        ),
    ] = None,
    grace: Annotated[
        Text, typer.Option("--grace", metavar="DURATION", help="Later than this is missed (default: 1m).")
    ] = None,
    catch_up_window: Annotated[
        Text,
        typer.Option("--catch-up-window", metavar="DURATION", help="Catch up no older ones (default: 7d)."),
    ] = None,
    catch_up_limit: Annotated[
        Text, typer.Option("--catch-up-limit", metavar="N", help="Catch up at most so many (default: 100).")
    ] = None,
    retries: Annotated[
        Text, typer.Option("--retries", metavar="N", help="Further attempts after a failure (default: 0).")
    ] = None,
    retry_delay: Annotated[
        Text, typer.Option("--retry-delay", metavar="DURATION", help="Before the first retry (default: 10s).")
    ] = None,
    retry_factor: Annotated[
        Text, typer.Option("--retry-factor", metavar="X", help="Growth of the delay (default: 2).")
    ] = None,
    retry_max_delay: Annotated[
        Text, typer.Option("--retry-max-delay", metavar="DURATION", help="Longest delay (default: 1h).")
    ] = None,
    retry_jitter: Annotated[
        Text,
        typer.Option(
            "--retry-jitter", metavar="X", help="Shorten delays by up to this share (default: 0.1)."
        ),
    ] = None,
    on_crash: Annotated[
        Text,
        typer.Option(
            "--on-crash",
            metavar="retry|rerun|fail",
            help="When a worker vanishes: count as a failure, run again, or end (default: retry).",
        ),
    ] = None,
    priority: Annotated[
        Text, typer.Option("--priority", metavar="N", help="Higher ones run first (default: 0).")
    ] = None,
    queue: Annotated[
        Text,
        typer.Option(
            "--queue", metavar="QUEUE", help="Which workers may run it, on PostgreSQL (default: `default`)."
        ),
    ] = None,
    max_output: Annotated[
        Text,
        typer.Option(
            "--max-output", metavar="SIZE", help="Keep so much of what a run prints (default: 64M)."
        ),
    ] = None,
    valid_from: Annotated[
        Text, typer.Option("--from", metavar="TIME", help="No fire time before this date or instant.")
    ] = None,
    valid_until: Annotated[
        Text, typer.Option("--until", metavar="TIME", help="No fire time after this date or instant.")
    ] = None,
    calendars: Annotated[
        list[str] | None,
        typer.Option(
            "--calendar",
            metavar="NAME:RULE",
            help="On its dates: skip, or run the next or previous business day; may be repeated.",
        ),
    ] = None,
    blackouts: Annotated[
        list[str] | None,
        typer.Option(
            "--blackout",
            metavar="WINDOW",
            help="Start nothing in it, such as 'mon-fri 09:00-17:00:defer' or ':drop'; may be repeated.",
        ),
    ] = None,
    jitter: Annotated[
        Text,
        typer.Option("--jitter", metavar="SPAN", help="Start up to this much later: 5m, or random:5m."),
    ] = None,
    assertions: Annotated[
        list[str] | None,
        typer.Option(
            "--assert",
            metavar="TEXT",
            help="What `cronq check` is to hold, such as 'never on sat,sun'; may be repeated.",
        ),
    ] = None,
    keep: Annotated[
        Text,
        typer.Option(
            "--keep",
            metavar="LIMITS",
            help="Remove older runs: an age, a number, a size of logs: 30d,1000,1G (default: none go).",
        ),
    ] = None,
    locks: Annotated[
        list[str] | None,
        typer.Option(
            "--lock",
            metavar="NAME[:N]",
            help="Run only while holding this lock, which N jobs share at a time; may be repeated.",
        ),
    ] = None,
    secrets: Annotated[
        list[str] | None,
        typer.Option(
            "--secret", metavar="K", help="Mask the value of this variable in output; may be repeated."
        ),
    ] = None,
    ping: Annotated[
        Text,
        typer.Option(
            "--ping", metavar="URL", help="Tell a healthchecks.io check of starts and ends: URL or '$NAME'."
        ),
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="A word to choose jobs by; may be repeated."),
    ] = None,
    nice: Annotated[
        Text, typer.Option("--nice", metavar="N", help="Niceness, -20 to 19; below 0 only root.")
    ] = None,
    memory: Annotated[
        Text,
        typer.Option("--memory", metavar="SIZE", help="Memory of each of its processes, such as 512M."),
    ] = None,
    cpu_time: Annotated[
        Text,
        typer.Option("--cpu-time", metavar="DURATION", help="Processor time of each of its processes."),
    ] = None,
    open_files: Annotated[
        Text,
        typer.Option("--open-files", metavar="N", help="Files that each of its processes may have open."),
    ] = None,
    umask: Annotated[
        Text, typer.Option("--umask", metavar="MODE", help="File mode creation mask, octal: 027.")
    ] = None,
    user: Annotated[
        Text, typer.Option("--user", metavar="NAME[:GROUP]", help="Run it as this user; only root can.")
    ] = None,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not look whether the program exists.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
) -> None:
    """Declare the options of `add` and `set`."""


class DefiningCommand(CronqCommand):
    """A command that takes the options of a definition, and a job's command after `--`."""

    template = staticmethod(definition_options)
    takes_argv = True


class Field(NamedTuple):
    """How one option becomes one field of `cronq.model.Definition`."""

    option: str
    name: str
    read: Callable[[str], object]


def duration(text: str, *, least: float = 0.0) -> float:
    """Read a duration of some length."""
    from cronq.schedule.duration import format_duration, parse_duration

    seconds = parse_duration(text)
    if seconds < least:
        raise DurationError(
            f"`{text}` is too short",
            hint=f"at least {format_duration(least)}",
            text=text,
            span=(0, len(text)),
        )
    return seconds


def integer(text: str, *, least: int, most: int = 1_000_000) -> int:
    """Read a whole number of a range."""
    if not _INTEGER.fullmatch(text):
        raise UsageError(f"`{plain(text)}` is not a whole number", hint=f"give one from {least} to {most}")
    if not least <= int(text) <= most:
        raise UsageError(f"{text} is out of range {least} to {most}")
    return int(text)


def number(text: str, *, least: float, most: float) -> float:
    """Read a number of a range."""
    if not _NUMBER.fullmatch(text):
        raise UsageError(f"`{plain(text)}` is not a number", hint=f"give one from {least:g} to {most:g}")
    if not least <= float(text) <= most:
        raise UsageError(f"{text} is out of range {least:g} to {most:g}")
    return float(text)


def choice(text: str, *, among: type[StrEnum]) -> StrEnum:
    """Read one word of a few."""
    names = [member.value for member in among]
    if text in names:
        return among(text)
    from difflib import get_close_matches

    near = get_close_matches(text, names, n=1, cutoff=0.6)
    hint = f"did you mean `{near[0]}`?" if near else f"one of {', '.join(names)}"
    raise UsageError(f"`{plain(text)}` is unknown", hint=hint)


def exit_codes(text: str) -> tuple[int, ...]:
    """Read exit codes, separated by commas."""
    codes = {integer(part.strip(), least=0, most=255) for part in text.split(",")}
    return tuple(sorted(codes))


def keep_limits(text: str) -> str:
    """Read how much of the history is kept."""
    from cronq.retention import parse_keep

    return parse_keep(text).text


def queue_name(text: str) -> str | None:
    """Read the name of a queue; None is the one that is there without being named."""
    if not is_queue(text):
        raise UsageError(f"`{plain(text[:80])}` cannot be the name of a queue", hint=QUEUE_HINT)
    return None if text == DEFAULT_QUEUE else text


def ping_url(text: str) -> str:
    """Read where pings go."""
    from cronq.ping_urls import read_ping

    return read_ping(text)


def or_none(text: str, *, read: Callable[[str], object]) -> object:
    """Read `none`, or something else."""
    return None if text == "none" else read(text)


def _limit(text: str, *, name: str) -> object:
    from cronq.cli import _limits  # it needs the readers above

    return getattr(_limits, name)(text)


# The shortest limit that is surely meant: starting a process takes milliseconds.
_positive = partial(duration, least=0.001)

FIELDS = (
    Field("dst", "dst", lambda text: str(choice(text, among=Dst))),
    Field("timeout", "timeout_s", partial(or_none, read=_positive)),
    Field("kill_after", "kill_after_s", duration),
    Field("success_codes", "success_codes", exit_codes),
    Field("overlap", "overlap", partial(choice, among=Overlap)),
    Field("max_running", "max_running", partial(or_none, read=partial(integer, least=1))),
    Field("max_queued", "max_queued", partial(integer, least=0)),
    Field("catch_up", "catch_up", partial(choice, among=CatchUp)),
    Field("grace", "grace_s", duration),
    Field("catch_up_window", "catch_up_window_s", duration),
    Field("catch_up_limit", "catch_up_limit", partial(integer, least=1)),
    Field("retries", "retries", partial(integer, least=0, most=1000)),
    Field("retry_delay", "retry_delay_s", duration),
    Field("retry_factor", "retry_factor", partial(number, least=1.0, most=1000.0)),
    Field("retry_max_delay", "retry_max_delay_s", duration),
    Field("retry_jitter", "retry_jitter", partial(number, least=0.0, most=1.0)),
    Field("on_crash", "on_crash", partial(choice, among=OnCrash)),
    Field("priority", "priority", partial(integer, least=-1000, most=1000)),
    Field("queue", "queue", partial(or_none, read=queue_name)),
    Field("keep", "keep", partial(or_none, read=keep_limits)),
    Field("ping", "ping", partial(or_none, read=ping_url)),
    Field("nice", "nice", partial(or_none, read=partial(_limit, name="nice"))),
    Field("memory", "memory", partial(or_none, read=partial(_limit, name="memory"))),
    Field("cpu_time", "cpu_time_s", partial(or_none, read=partial(_limit, name="cpu_time"))),
    Field("open_files", "open_files", partial(or_none, read=partial(_limit, name="open_files"))),
    Field("umask", "umask", partial(or_none, read=partial(_limit, name="umask"))),
    Field("user", "user", partial(or_none, read=partial(_limit, name="user"))),
    Field("max_output", "max_output", partial(or_none, read=partial(parse_size, least=LEAST_OUTPUT))),
)

ENUMS: Mapping[str, type[StrEnum]] = {
    "dst": Dst,
    "overlap": Overlap,
    "catch_up": CatchUp,
    "on_crash": OnCrash,
}
"""Options whose values complete."""


def read_fields(texts: Mapping[str, object], problems: list[CronqError]) -> dict[str, object]:
    """Return the fields that were given; what cannot be read goes to `problems`."""
    values: dict[str, object] = {}
    for field in FIELDS:
        text = texts.get(field.option)
        if text is None:
            continue
        try:
            values[field.name] = field.read(str(text))
        except CronqError as error:
            problems.append(_named(error, field.option))
    return values


def _named(error: CronqError, option: str) -> CronqError:
    """Return the error with the name of its option in front."""
    message = f"--{option.replace('_', '-')}: {error.message}"
    return type(error)(message, hint=error.hint, text=error.text, span=error.span, details=error.details)
