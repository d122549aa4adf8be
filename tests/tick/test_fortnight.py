"""A fortnight of a hosted CI: ticks that come late or never, two at once, a lost cache, a clock that changes.

The ticks are real, and so are the processes; only the time is scripted. An append-only file that nothing of
cronq reads testifies what ran.
"""

from __future__ import annotations

import json
import random
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import pytest

from tests.tick.test_state import forget_ledger
from tests.tick.world import Project

BEGIN = datetime(2026, 10, 17, 0, 7, tzinfo=UTC)
DAYS = 14  # with the night of 25 October, in which Berlin has 02:30 twice
JOBS = """\
[defaults]
tz = "Europe/Berlin"
[jobs.hourly]
schedule = "0 * * * *"
catch-up = "all"
@witness
[jobs.nightly]
schedule = "30 2 * * *"
@witness
[jobs.both]
schedule = "30 2 * * *"
dst = "both"
catch-up = "all"
@witness
[jobs.often]
schedule = "*/20 * * * *"
@witness
[jobs.punctual]
schedule = "*/30 * * * *"
catch-up = "skip"
@witness
[jobs.flaky]
schedule = "15 */6 * * *"
retries = 2
retry-delay = "10m"
catch-up = "all"
shell = "echo flaky $CRONQ_FIRE_TIME $CRONQ_ATTEMPT >> witnessed; test $CRONQ_ATTEMPT = 2"
[jobs.broken]
schedule = "45 5 * * *"
shell = "echo broken $CRONQ_FIRE_TIME >> witnessed; exit 3"
"""


class Moment(NamedTuple):
    """When a tick really comes, and what happens to it."""

    at: datetime
    is_doubled: bool = False
    is_lost: bool = False


def script(seed: int, every: timedelta) -> list[Moment]:
    """Return the ticks of the fortnight in their order."""
    chance = random.Random(seed)
    count = int(timedelta(days=DAYS) / every)
    moments = [BEGIN]
    for number in range(1, count):
        if chance.random() >= 0.2:
            # Hosted schedules are late by minutes, and now and then by hours.
            late = chance.choice((0, 3, 12, 40)) + (chance.randrange(240) if chance.random() < 0.2 else 0)
            moments.append(BEGIN + number * every + timedelta(minutes=late))
    moments.sort()
    doubled = set(chance.sample(range(2, len(moments) - 2), 2))
    lost = chance.randrange(len(moments) // 3, 2 * len(moments) // 3)
    set_back = chance.randrange(2 * len(moments) // 3, len(moments) - 2)
    moments[set_back] = moments[set_back - 1] - every / 3  # somebody set the clock
    return [Moment(at, number in doubled, number == lost) for number, at in enumerate(moments)]


class Fortnight:
    """The project of one CI, and all that its ticks reported."""

    def __init__(self, project: Project, mode: str) -> None:
        self.project = project
        self.mode = mode
        self.reported: Counter[str] = Counter()
        self.cases: list[tuple[str, str, str]] = []
        self.recorded: Counter[str] = Counter()
        self.codes: Counter[int] = Counter()
        where = ("--db", "cursor.db") if mode == "database" else ("--state", "cursor")
        self._command = ("tick", "-q", *where, "--file", "cronq.toml", "--output", "none")

    def tick(self, moment: Moment) -> None:
        if moment.is_lost:
            self.count_ledger()
            forget_ledger(self.project)
            (self.project.folder / "cursor").unlink(missing_ok=True)
        elif self.mode == "other runners":
            forget_ledger(self.project)
        now = f"{moment.at:%Y-%m-%dT%H:%M:%SZ}"
        running = [
            self.project.start(*self._command, "--now", now, "--junit", f"report-{number}.xml")
            for number in range(1 + moment.is_doubled)
        ]
        for number, process in enumerate(running):
            _, err = process.communicate(timeout=60)
            self.codes[process.returncode] += 1
            assert process.returncode in {0, 1, 4}, err
            if process.returncode != 4:
                self._read(f"report-{number}.xml")
        if self.mode == "other runners":
            assert self.project.run("audit", "--db", "cursor.db").code == 0

    def _read(self, name: str) -> None:
        root = ET.parse(self.project.folder / name).getroot()
        for case in root.iter("testcase"):
            found = [child.attrib["type"] for child in case if child.tag != "system-out"]
            outcome = found[0] if found else "success"
            self.reported[outcome] += 1
            self.cases.append((case.attrib["classname"], case.attrib["name"], outcome))

    def count_ledger(self) -> None:
        """Count what the ledger says of this epoch, and prove it."""
        if self.mode == "other runners":
            return
        audit = self.project.run("audit", "--db", "cursor.db")
        assert audit.code == 0, audit
        for row in self.project.rows("--db", "cursor.db"):
            if row["state"] == "done":
                self.recorded[row["outcome"]] += row["fire_count"]


def runs_in(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield job and fire time of each run: what is witnessed of retries is one."""
    for line in lines:
        job, at, *attempt = line.split()
        if attempt in ([], ["1"]):
            yield job, at


def check(found: Fortnight) -> None:
    found.count_ledger()
    witnessed = found.project.witnessed
    assert len(witnessed) == len(set(witnessed)), "a fire time, or an attempt, ran twice"
    ran = Counter(runs_in(witnessed))
    assert set(ran.values()) == {1}
    cases = Counter((job, at) for job, at, _ in found.cases)
    assert set(cases.values()) == {1}, "a fire time was reported twice"
    reported = {(job, at) for job, at, outcome in found.cases if outcome not in {"missed", "skipped"}}
    # What waits for a retry when the cache is lost, or at the end, ran and has no case.
    assert reported <= set(ran)
    assert all(job == "flaky" for job, _ in set(ran) - reported)
    if found.mode != "other runners":
        assert found.reported == found.recorded
    assert {at for job, at in ran if job == "both" and "10-25T" in at} == {
        "2026-10-25T00:30:00Z",
        "2026-10-25T01:30:00Z",
    }
    assert sum(job == "nightly" and "10-25T" in at for job, at, _ in found.cases) <= 1
    assert found.codes[0] > 0
    assert found.codes[1] > 0


@pytest.mark.parametrize("mode", ["database", "other runners"])
def test_fortnight(project: Project, mode: str) -> None:
    play(project, mode, seed=6, every=timedelta(hours=11))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", ["database", "same runner", "other runners"])
def test_fortnights(project: Project, mode: str) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    play(project, mode, seed=seed, every=timedelta(hours=1))


def play(project: Project, mode: str, *, seed: int, every: timedelta) -> None:
    project.jobs(JOBS)
    found = Fortnight(project, mode)
    for moment in script(seed, every):
        found.tick(moment)
    check(found)


def test_the_script_is_what_hosted_schedules_are_like() -> None:
    nominal = DAYS * 24
    for seed in range(20):
        moments = script(seed, timedelta(hours=1))
        assert 0.65 * nominal < len(moments) < 0.95 * nominal
        assert sum(moment.is_doubled for moment in moments) == 2
        assert sum(moment.is_lost for moment in moments) == 1
        assert sum(b.at < a.at for a, b in pairwise(moments)) == 1


def test_reports_are_read_right(project: Project) -> None:
    project.jobs(JOBS)
    found = Fortnight(project, "database")
    found.tick(Moment(BEGIN))
    found.tick(Moment(BEGIN + timedelta(hours=6)))
    rows: list[dict[str, Any]] = json.loads(project.run("runs", "--db", "cursor.db", "--json").out)["runs"]
    assert sum(found.reported.values()) == sum(r["fire_count"] for r in rows if r["state"] == "done") > 20
