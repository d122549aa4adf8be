"""A state as text, and back: a line for each thing that is said, sorted, so that two texts can be compared.

::

    cronq-state 1
    * runs 57
    backup cursor 2026-05-04T02:00:00Z
    backup definition 1f0c2a…
    backup done 2026-05-03T02:00:00Z attempt=1 finished=… outcome=success queued=… run=57 …
    backup firing {"schedule": "0 2 * * *", "tz": "Europe/Berlin"}
    backup open 2026-05-02T02:00:00Z attempt=1 available=… failures=1 queued=… run=56 state=queued …
    sha256 9b4c…

The last line is the digest of those before it. The same state is always the same text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TypeVar

from cronq.clock import datetime_from_us, us_from_datetime
from cronq.errors import StateUnreadable
from cronq.model import SECOND, Micros, Outcome, State, Trigger
from cronq.names import is_name
from cronq.portable.document import Document, DoneRun, JobState, OpenRun

VERSION = 1
_HEAD = "cronq-state"
_SEAL = "sha256"
_ALL = "*"


def text_of(document: Document) -> str:
    """Return a state as text."""
    lines = [f"{_HEAD} {VERSION}", f"{_ALL} runs {document.runs}"]
    for name in sorted(document.jobs):
        lines += lines_of(document.jobs[name])
    return sealed(lines)


def sealed(lines: Iterable[str]) -> str:
    """Return lines with their digest below."""
    body = "".join(f"{line}\n" for line in lines)
    return f"{body}{_SEAL} {_digest(body)}\n"


def lines_of(job: JobState) -> list[str]:
    """Return what is said about one job."""
    said = [
        f"cursor {_at(job.cursor)}",
        f"definition {job.definition}",
        *(f"done {_at(run.at)} {_pairs(_done(run))}" for run in job.done),
        f"firing {json.dumps(job.firing, sort_keys=True)}",
        *(f"open {_at(run.at)} {_pairs(_open(run))}" for run in job.open),
    ]
    if job.paused_at is not None:
        said.append(f"paused {_at(job.paused_at)}")
    return [f"{job.name} {text}" for text in said]


def seal_of(text: str) -> str:
    """Return the digest that a text ends with, if it is a state, and that of what stands before.

    Raises:
        StateUnreadable: It is not, or the state of a newer cronq.
    """
    head, _, version = text.partition("\n")[0].partition(" ")
    if head != _HEAD:
        raise _damaged("it does not begin with `cronq-state`")
    if version.isdecimal() and int(version) > VERSION:
        raise StateUnreadable(
            f"the state was written by a newer cronq (version {version}, this one knows {VERSION})",
            hint="upgrade cronq: pip install --upgrade cronq-cli",
        )
    if version != str(VERSION):
        raise _damaged("its version is not a number")
    body, _, last = text.rstrip("\n").rpartition("\n")
    word, _, digest = last.partition(" ")
    if word != _SEAL or not text.endswith("\n"):
        raise _damaged("it has no checksum at its end; was it cut?")
    if digest != _digest(f"{body}\n"):
        raise _damaged("it is not what its checksum says; was it edited, or merged as text?")
    return digest


def read(text: str) -> Document:
    """Return the state that a text holds.

    Raises:
        StateUnreadable: It is damaged, of a newer cronq, or says what nobody knows.
    """
    seal_of(text)
    jobs: dict[str, JobState] = {}
    runs = 0
    for number, line in enumerate(text.splitlines()[1:-1], start=2):
        try:
            subject, word, rest = line.split(" ", 2)
            if subject == _ALL and word == "runs":
                runs = int(rest)
            elif is_name(subject):
                jobs[subject] = _told(jobs.get(subject) or JobState(subject, "", {}, None), word, rest)
            else:
                raise ValueError("no name of a job")
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(f"line {number} says nothing that is known: {line[:60]!r}") from error
    return Document(jobs, runs)


def _told(job: JobState, word: str, rest: str) -> JobState:
    if word == "cursor":
        return job._replace(cursor=_instant(rest))
    if word == "definition":
        return job._replace(definition=rest)
    if word == "firing":
        firing = json.loads(rest)
        if not isinstance(firing, dict):
            raise ValueError("not an object")
        return job._replace(firing=firing)
    if word == "paused":
        return job._replace(paused_at=_instant(rest))
    at, _, pairs = rest.partition(" ")
    values = dict(pair.split("=", 1) for pair in pairs.split())
    about = _sure(at), int(values.pop("run")), _sure(values.pop("queued")), Trigger(values.pop("trigger"))
    if word == "done":
        return job._replace(done=(*job.done, _read_done(about, values)))
    if word == "open":
        return job._replace(open=(*job.open, _read_open(about, values)))
    raise ValueError("an unknown word")


_About = tuple[Micros, int, Micros, Trigger]
_Run = TypeVar("_Run", DoneRun, OpenRun)


def _read_done(about: _About, values: dict[str, str]) -> DoneRun:
    run = DoneRun(
        *about,
        Outcome(values.pop("outcome")),
        _sure(values.pop("finished")),
        int(values.pop("attempt")),
        _instant(values.pop("started", "-")),
        _instant(values.pop("last", "-")) or about[0],
        int(values.pop("count", "1")),
    )
    return _exhausted(run, values)


def _read_open(about: _About, values: dict[str, str]) -> OpenRun:
    run = OpenRun(
        *about,
        State(values.pop("state")),
        _sure(values.pop("available")),
        int(values.pop("attempt")),
        int(values.pop("failures")),
        _instant(values.pop("claimed", "-")),
    )
    if run.state is State.DONE or (run.state is State.RUNNING) != (run.claimed_at is not None):
        raise ValueError("a run that is neither queued nor claimed")
    return _exhausted(run, values)


def _exhausted(run: _Run, values: dict[str, str]) -> _Run:
    if values:
        raise ValueError("more than is known")
    return run


def _done(run: DoneRun) -> Iterator[tuple[str, object]]:
    yield from (("run", run.run_id), ("queued", _at(run.queued_at)), ("trigger", run.trigger.value))
    yield from (("outcome", run.outcome.value), ("finished", _at(run.finished_at)), ("attempt", run.attempt))
    if run.started_at is not None:
        yield "started", _at(run.started_at)
    if run.fire_count > 1:
        yield from (("last", _at(run.last_at)), ("count", run.fire_count))


def _open(run: OpenRun) -> Iterator[tuple[str, object]]:
    yield from (("run", run.run_id), ("queued", _at(run.queued_at)), ("trigger", run.trigger.value))
    yield from (("state", run.state.value), ("available", _at(run.available_at)))
    yield from (("attempt", run.attempt), ("failures", run.failures))
    if run.claimed_at is not None:
        yield "claimed", _at(run.claimed_at)


def _pairs(pairs: Iterable[tuple[str, object]]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(pairs))


def _at(at: Micros | None) -> str:
    if at is None:
        return "-"
    moment = datetime_from_us(at).replace(tzinfo=None)
    return moment.isoformat(timespec="microseconds" if at % SECOND else "seconds") + "Z"


def _instant(text: str) -> Micros | None:
    return None if text == "-" else _sure(text)


def _sure(text: str) -> Micros:
    if not text.endswith("Z"):
        raise ValueError("an instant without its zone")
    return us_from_datetime(datetime.fromisoformat(text))


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _damaged(why: str) -> StateUnreadable:
    return StateUnreadable(
        f"the state is damaged: {why}",
        hint="restore an earlier one, or remove it and say with --on-missing where to begin",
    )
