"""The independent record: jobs that write down, outside the ledger, what became of them; and its comparison.

Each attempt appends lines to one file with O_APPEND, a write each::

    JOB RUN_ID ATTEMPT TRIGGER FIRE_TIME start|overlap|end CODE

Before `start` it takes a lock that all its children inherit; a job whose runs must not overlap has one lock,
another has one for each run. `overlap` says that something of an earlier attempt still held it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

Key = tuple[int, int]
"""Run id and attempt."""

SCHEDULED = frozenset({"schedule", "catch_up"})

SHELL_JOB = r"""
own="$CRONQ_JOB $CRONQ_RUN_ID $CRONQ_ATTEMPT $CRONQ_TRIGGER $CRONQ_FIRE_TIME"
say() { printf '%s\n' "$own $*" >> "$witness"; }
witness=$1; lock=$2; pause=$3
case $lock in */) lock=$lock$CRONQ_RUN_ID ;; esac
exec 9>> "$lock"
flock -n 9 || say overlap
say start
echo "run $CRONQ_RUN_ID"
# Something that gets away, and is to be found all the same.
if [ $((CRONQ_RUN_ID % 5)) = 1 ]; then setsid sleep 300 & fi
sleep "$pause"
code=$((CRONQ_RUN_ID % 7 == 3 ? 3 : 0))
say "end $code"
exit $code
"""

PYTHON_JOB = """
import fcntl, os, time

def work(witness, lock, pause):
    environ = os.environ
    names = "CRONQ_JOB", "CRONQ_RUN_ID", "CRONQ_ATTEMPT", "CRONQ_TRIGGER", "CRONQ_FIRE_TIME"
    own = " ".join(environ[name] for name in names)

    def say(text):
        fd = os.open(witness, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, f"{own} {text}\\n".encode())
        os.close(fd)

    with open(lock, "a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("overlap")
        say("start")
        time.sleep(pause)
        code = 3 if int(environ["CRONQ_RUN_ID"]) % 7 == 3 else 0
        say(f"end {code}")
    if code:
        raise RuntimeError(f"exit {code}")
"""


class Line(NamedTuple):
    """What an attempt wrote."""

    job: str
    run_id: int
    attempt: int
    trigger: str
    fire_time: str
    word: str
    code: int | None = None

    @property
    def key(self) -> Key:
        return self.run_id, self.attempt


def read_lines(path: Path) -> list[Line]:
    """Return what the jobs wrote, in their order."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text().splitlines():
        job, run_id, attempt, trigger, fire_time, word, *code = text.split()
        lines.append(
            Line(job, int(run_id), int(attempt), trigger, fire_time, word, int(code[0]) if code else None)
        )
    return lines


class Ledger(NamedTuple):
    """What the ledger says about one job.

    Attributes:
        runs: As `cronq runs --json` gives them, oldest first.
        every_s: Seconds between fire times.
        first: First fire time that there should be.
        settled_at: No fire time up to this may be missing.
        latest: No fire time after this may be there: the clock never showed more.
    """

    runs: Sequence[Mapping[str, Any]]
    every_s: int
    first: datetime
    settled_at: datetime
    latest: datetime


@dataclass
class Done:
    """What the driver did that excuses an outcome.

    Attributes:
        killed: Attempts whose command was killed.
        orphaned: Attempts whose worker was killed, so that it may be that nobody sees how they end.
        workers: How many workers were killed, some perhaps just before they began an attempt.
    """

    killed: set[Key] = field(default_factory=set)
    orphaned: set[Key] = field(default_factory=set)
    workers: int = 0


@dataclass
class Findings:
    """What is wrong, in words."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    zombies: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def __str__(self) -> str:
        counts = {name: len(found) for name, found in vars(self).items()}
        return ", ".join(f"{count} {name}" for name, count in counts.items())

    def details(self) -> list[str]:
        return [f"{name}: {text}" for name, found in vars(self).items() for text in found]

    def add(self, other: Findings) -> None:
        for name, found in vars(self).items():
            found += getattr(other, name)


def compare(lines: Sequence[Line], ledgers: Mapping[str, Ledger], done: Done) -> Findings:
    """Return every contradiction between what the jobs wrote and what the ledger says."""
    findings = Findings()
    _compare_lines(lines, findings)
    known = {run["id"] for ledger in ledgers.values() for run in ledger.runs}
    findings.lost += [f"{line} has no run" for line in lines if line.run_id not in known]
    by_run: defaultdict[int, list[Line]] = defaultdict(list)
    for line in lines:
        by_run[line.run_id].append(line)
    for job, ledger in ledgers.items():
        _account(job, ledger, findings)
        for run in ledger.runs:
            _compare_run(run, by_run[run["id"]], done, findings)
    _compare_ends(lines, ledgers, done, findings)
    return findings


def _compare_ends(
    lines: Sequence[Line], ledgers: Mapping[str, Ledger], done: Done, findings: Findings
) -> None:
    """What has ended well is not run again; whose end was not seen, its worker was killed."""
    last = {run["id"]: run["attempt"] for ledger in ledgers.values() for run in ledger.runs}
    excused = done.killed | done.orphaned
    findings.doubled += [
        f"{line} was run again"
        for line in lines
        if line.code == 0 and line.attempt < last.get(line.run_id, 0) and line.key not in excused
    ]
    started = {line.key for line in lines if line.word == "start"}
    abandoned = {
        (run["id"], run["attempt"])
        for ledger in ledgers.values()
        for run in ledger.runs
        if run["outcome"] == "abandoned"
    }
    findings.wrong += [
        f"run, attempt {key} is abandoned, though its worker was not killed"
        for key in abandoned & started - done.orphaned
    ]
    if len(abandoned) > done.workers:
        findings.wrong.append(f"{len(abandoned)} abandoned, but only {done.workers} workers were killed")


def _compare_lines(lines: Sequence[Line], findings: Findings) -> None:
    starts = Counter(line.key for line in lines if line.word == "start")
    findings.doubled += [f"run, attempt {key} started {n} times" for key, n in starts.items() if n > 1]
    findings.doubled += [
        f"{line}: something of an earlier one lived" for line in lines if line.word == "overlap"
    ]
    runs_of: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for line in lines:
        if line.trigger in SCHEDULED:
            runs_of[line.job, line.fire_time].add(line.run_id)
    findings.doubled += [f"{fire} by the runs {runs}" for fire, runs in runs_of.items() if len(runs) > 1]


def _account(job: str, ledger: Ledger, findings: Findings) -> None:
    """Every fire time from the first to the last is there exactly once, gaps spelt out."""
    counted: Counter[datetime] = Counter()
    step = timedelta(seconds=ledger.every_s)
    for run in ledger.runs:
        if run["fire_at"] is not None:
            first = datetime.fromisoformat(run["fire_at"])
            counted.update(first + step * n for n in range(run["fire_count"]))
    findings.doubled += [f"{job} {moment} is there {n} times" for moment, n in counted.items() if n > 1]
    moment = ledger.first
    while moment <= ledger.settled_at:
        if not counted.pop(moment, 0):
            findings.lost.append(f"{job} {moment}")
        moment += step
    # What was settled a moment later may be there; what is no fire time, or was none yet, may not.
    findings.wrong += [
        f"{job} {moment} is no fire time"
        for moment in counted
        if moment < ledger.first or moment > ledger.latest or (moment - ledger.first) % step
    ]


def _compare_run(run: Mapping[str, Any], lines: list[Line], done: Done, findings: Findings) -> None:
    name = (
        f"{run['job']} #{run['id']} {run['state']} {run['outcome']} {run['reason']} attempt {run['attempt']}"
    )
    if run["state"] != "done":
        findings.stuck.append(name)
        return
    if any(line.attempt > run["attempt"] for line in lines):
        findings.wrong.append(f"{name}: there was a later attempt")
    last = (run["id"], run["attempt"])
    ends = [line.code for line in lines if line.key == last and line.word == "end"]
    outcome = run["outcome"]
    if outcome in {"skipped", "missed"}:
        if lines:
            findings.wrong.append(f"{name}: it ran")
    elif outcome == "success":
        if ends != [0]:
            findings.wrong.append(f"{name}: its ends are {ends}")
    elif outcome == "failure":
        was_killed = run["signal"] == 9
        if was_killed and last not in done.killed:
            findings.wrong.append(f"{name}: nobody killed it")
        elif not was_killed and ends != [3]:
            findings.wrong.append(f"{name}: its ends are {ends}")
    elif outcome != "abandoned":
        findings.wrong.append(f"{name}: nobody asked for that")


def parse_time(text: str) -> datetime:
    """Return an instant of the JSON forms."""
    return datetime.fromisoformat(text).astimezone(UTC)
