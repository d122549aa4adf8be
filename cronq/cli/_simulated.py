"""The answer of `cronq simulate`: for people, for pipes and as JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from cronq.cli._playing import Durations
from cronq.cli._session import Session
from cronq.errors import CronqError
from cronq.model import SECOND, Micros, Outcome
from cronq.render.table import Column, table
from cronq.render.text import Tone, Word, count_of, plain
from cronq.render.timeline import Mark, Row, Scale, timeline
from cronq.render.times import duration, full, iso
from cronq.virtual.account import Account, JobAccount
from cronq.virtual.simulation import Window

if TYPE_CHECKING:
    from datetime import tzinfo

BUSIEST = 3
_GRAIN = 4096
"""Into so many parts the period is divided: what lies in one part of a picture is drawn once."""
_FAILED = (Outcome.FAILURE, Outcome.TIMEOUT, Outcome.ABANDONED)


class Marks:
    """Keeps what belongs into the picture, and no more of it than can be seen."""

    def __init__(self, period: Window) -> None:
        self._period = period
        self._found: dict[str, dict[tuple[str, int], tuple[Micros, Micros]]] = {}

    def __call__(self, job: str, start: Micros, end: Micros, kind: str) -> None:
        """Take a mark."""
        length = self._period.end - self._period.start
        part = (start - self._period.start) * _GRAIN // length
        own = self._found.setdefault(job, {})
        known = own.get((kind, part))
        own[kind, part] = (start, end) if known is None else (known[0], max(known[1], end))

    def of(self, job: str) -> list[Mark]:
        """Return the marks of a job, in their order."""
        return sorted(Mark(start, end, kind) for (kind, _), (start, end) in self._found.get(job, {}).items())


class Answer(NamedTuple):
    """What there is to say.

    Attributes:
        shown: The jobs that are wanted, by name.
        running: How many runs had not ended at the end of the period.
        marks: If the picture is wanted.
    """

    period: Window
    workers: int
    shown: Sequence[str]
    account: Account
    durations: Durations
    paused: Collection[str]
    unreadable: Mapping[str, CronqError]
    running: int
    marks: Marks | None

    @property
    def accounts(self) -> list[JobAccount]:
        """What came of the jobs that are shown."""
        return [self.account.jobs[name] for name in self.shown]


def answer(session: Session, found: Answer) -> None:
    """Write the answer in the form that is wanted."""
    if session.options.json:
        session.json(_document(session, found))
    elif session.options.quiet:
        session.lines(one.name for one in found.accounts if one.skipped or one.missed or _failures(one))
    elif not session.for_people:
        _write_rows(session, found)
    elif not found.account.jobs:
        session.tell("No jobs yet.")
        session.hint("add one: cronq add hello 'every 1m' -- echo hi")
    else:
        _tell(session, found)
    if found.marks is not None and not session.options.json and not session.options.quiet and found.shown:
        zone = session.zone()
        rows = [Row(name, found.marks.of(name)) for name in found.shown]
        if session.for_people:
            session.line()
        session.lines(timeline(rows, Scale(*found.period, None, zone), session.terminal.style))


# For people


def _tell(session: Session, found: Answer) -> None:
    zone = session.zone()
    account = found.account
    total = sum(one.fire_times for one in account.jobs.values())
    session.line(
        f"{full(found.period.start, zone)} to {full(found.period.end, zone)}  ({session.tz()}):"
        f" {count_of(len(account.jobs), 'job')}, {total:,} fire time{'s' * (total != 1)}"
    )
    session.line(f"durations: {_sources(found.durations)}")
    session.line()
    session.lines(_table(session, found))
    for line in _reasons(found):
        session.words("  ", Word(line, Tone.DIM))
    session.line()
    session.lines(_findings(found, zone))


def _sources(durations: Durations) -> str:
    words = []
    if count := durations.of_source("history"):
        words.append(f"median of the newest successes for {count_of(count, 'job')}")
    if count := durations.of_source("worst"):
        words.append(f"longest of the newest successes for {count_of(count, 'job')}")
    if count := durations.of_source("given"):
        words.append(f"as given for {count_of(count, 'job')}")
    if count := durations.of_source("default"):
        words.append(
            f"{duration(durations.default_s)} for {count_of(count, 'job')} of which nothing is known"
        )
    return ", ".join(words) or "none"


def _table(session: Session, found: Answer) -> list[str]:
    columns = [
        Column("NAME"),
        Column("FIRES", right=True),
        Column("RAN", right=True),
        Column("SKIPPED", right=True),
        Column("MISSED", right=True),
        Column("FAILED", right=True, leaves=4),
        Column("RETRIES", right=True, leaves=1),
        Column("WAIT P50", right=True, leaves=2),
        Column("WAIT MAX", right=True, leaves=5),
        Column("BUSY", right=True, leaves=3),
    ]
    rows = [_cells(one, one.name in found.paused) for one in found.accounts]
    return table(columns, rows, session.terminal.style, header=session.header)


def _cells(one: JobAccount, is_paused: bool) -> list[Word]:
    skipped, missed, failed = sum(one.skipped.values()), sum(one.missed.values()), _failures(one)
    return [
        Word(plain(one.name), Tone.BOLD),
        Word("paused", Tone.DIM) if is_paused else Word(f"{one.fire_times:,}"),
        Word(f"{one.ran:,}"),
        Word(f"{skipped:,}", Tone.YELLOW if skipped else Tone.PLAIN),
        Word(f"{missed:,}", Tone.YELLOW if missed else Tone.PLAIN),
        Word(f"{failed:,}", Tone.RED if failed else Tone.PLAIN),
        Word(f"{one.retried:,}"),
        Word(_span(one.median_wait())),
        Word(_span(one.longest)),
        Word(_span(one.busy if one.ran else None)),
    ]


def _span(micros: Micros | None) -> str:
    return "" if micros is None else duration(micros / SECOND) if micros else "0s"


def _reasons(found: Answer) -> Iterator[str]:
    for one in found.accounts:
        for verb, reasons in (("skipped", one.skipped), ("missed", one.missed)):
            for reason, count in sorted(reasons.items()):
                yield f"{plain(one.name)}: {count:,} {verb}: {plain(reason)}"


def _findings(found: Answer, zone: tzinfo) -> Iterator[str]:
    account = found.account
    if (clash := account.clash) is None:
        yield "first overlap: none"
    else:
        since = "" if clash.since is None else f" of {full(clash.since, zone)}"
        yield (
            f"first overlap: {plain(clash.job)} at {full(clash.at, zone)}, while its run{since} is active"
            f" (overlap {clash.policy.value})"
        )
    at, most = account.peak
    if most:
        limit = ", all that there are" if most == found.workers else ""
        yield f"most at once: {most} of {count_of(found.workers, 'worker')}{limit}, at {full(at, zone)}"
    for index, busy in enumerate(account.busiest(BUSIEST)):
        label = "busiest minutes: " if index == 0 else " " * 17
        yield (
            f"{label}{full(busy.at, zone)}  {count_of(busy.starts, 'start')}, up to {busy.running} running"
        )
    for down in account.down:
        span = f"down {full(down.window.start, zone)} to {full(down.window.end, zone)}"
        late = f", up to {duration(down.longest_wait / SECOND)} late" if down.late else ""
        yield (
            f"{span}: {count_of(down.fire_times, 'fire time')} in it: {down.late} run after it{late},"
            f" {down.skipped} skipped, {down.missed} missed"
        )
    if found.running:
        yield f"{count_of(found.running, 'run')} still running at the end"


# For machines


def _write_rows(session: Session, found: Answer) -> None:
    session.rows(
        [
            *("name", "fire_times", "ran", "skipped", "missed", "failed", "retries", "overlaps"),
            *("wait_p50_s", "wait_max_s", "busy_s"),
        ],
        (
            [
                one.name,
                *(str(number) for number in _numbers(one)),
                *(_seconds(one.median_wait()), _seconds(one.longest), _seconds(one.busy)),
            ]
            for one in found.accounts
        ),
    )
    for line in _findings(found, session.zone()):
        session.tell(line)
    session.tell(f"durations: {_sources(found.durations)}")


def _numbers(one: JobAccount) -> tuple[int, ...]:
    skipped, missed = sum(one.skipped.values()), sum(one.missed.values())
    return (one.fire_times, one.ran, skipped, missed, _failures(one), one.retried, one.clashes)


def _seconds(micros: Micros | None) -> str:
    return "" if micros is None else f"{micros / SECOND:.3f}"


def _failures(one: JobAccount) -> int:
    return sum(one.became[outcome] for outcome in _FAILED)


def _document(session: Session, found: Answer) -> dict[str, object]:
    account = found.account
    at, most = account.peak
    clash = account.clash
    document: dict[str, object] = {
        "from": iso(found.period.start),
        "to": iso(found.period.end),
        "tz": session.tz(),
        "workers": found.workers,
        "jobs": [_job_document(one, found) for one in found.accounts],
        "not_simulated": [
            {"name": name, "message": error.message} for name, error in found.unreadable.items()
        ],
        "first_overlap": None
        if clash is None
        else {
            "job": clash.job,
            "at": iso(clash.at),
            "active_since": iso(clash.since),
            "overlap": clash.policy.value,
        },
        "most_at_once": None if not most else {"at": iso(at), "running": most},
        "busiest_minutes": [
            {"at": iso(busy.at), "starts": busy.starts, "running": busy.running}
            for busy in account.busiest(BUSIEST)
        ],
        "down": [
            {
                "from": iso(down.window.start),
                "to": iso(down.window.end),
                "fire_times": down.fire_times,
                "late": down.late,
                "longest_wait_s": down.longest_wait / SECOND,
                "skipped": down.skipped,
                "missed": down.missed,
            }
            for down in account.down
        ],
        "running_at_end": found.running,
    }
    if found.marks is not None:
        document["timeline"] = [
            {"job": name, "start": iso(mark.start), "end": iso(mark.end), "kind": mark.kind}
            for name in found.shown
            for mark in found.marks.of(name)
        ]
    return document


def _job_document(one: JobAccount, found: Answer) -> dict[str, object]:
    median, longest = one.median_wait(), one.longest
    return {
        "name": one.name,
        "paused": one.name in found.paused,
        "duration_s": found.durations.seconds[one.name],
        "duration_from": found.durations.source[one.name],
        "fire_times": one.fire_times,
        "ran": one.ran,
        "outcomes": {outcome.value: count for outcome, count in sorted(one.became.items())},
        "skipped": dict(sorted(one.skipped.items())),
        "missed": dict(sorted(one.missed.items())),
        "retries": one.retried,
        "overlaps": one.clashes,
        "wait_p50_s": None if median is None else median / SECOND,
        "wait_max_s": None if longest is None else longest / SECOND,
        "busy_s": one.busy / SECOND,
    }
