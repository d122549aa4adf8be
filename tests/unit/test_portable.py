"""Portable states: the text says all, and a merge is a union whichever comes first."""

from __future__ import annotations

import random

import pytest

from cronq.errors import StateUnreadable
from cronq.model import SECOND, Command, CommandKind, Definition, Micros, Outcome, State, Trigger
from cronq.portable.document import (
    EMPTY,
    KEPT,
    Document,
    DoneRun,
    JobState,
    OpenRun,
    firing_of,
    kept,
    with_firing,
)
from cronq.portable.merge import merge
from cronq.portable.text import lines_of, read, seal_of, sealed, text_of

T0: Micros = 1_777_636_800 * SECOND
HOUR = 3600 * SECOND


def done(hour: int, run_id: int, outcome: Outcome = Outcome.SUCCESS, **values: object) -> DoneRun:
    at = T0 + hour * HOUR
    usual: dict[str, object] = {"started_at": at + 2, "last_at": at, "attempt": 1}
    if outcome in {Outcome.MISSED, Outcome.SKIPPED}:
        usual |= {"started_at": None, "attempt": 0}
    run = DoneRun(at, run_id, at + 1, Trigger.SCHEDULE, outcome, at + 3)
    return run._replace(**{**usual, **values})  # type: ignore[arg-type]


def claimed(hour: int, run_id: int, **values: object) -> OpenRun:
    at = T0 + hour * HOUR
    run = OpenRun(at, run_id, at + 1, Trigger.SCHEDULE, State.RUNNING, at, 1, 0, at + 2)
    return run._replace(**values)  # type: ignore[arg-type]


def waiting(hour: int, run_id: int, **values: object) -> OpenRun:
    return claimed(hour, run_id, state=State.QUEUED, claimed_at=None, failures=1, **values)


def job(cursor: int | None, *runs: DoneRun | OpenRun, **values: object) -> JobState:
    state = JobState(
        "job",
        "0123456789abcdef",
        {"schedule": "0 * * * *"},
        None if cursor is None else T0 + cursor * HOUR,
        done=tuple(run for run in runs if isinstance(run, DoneRun)),
        open=tuple(run for run in runs if isinstance(run, OpenRun)),
    )
    return state._replace(**values)  # type: ignore[arg-type]


def one(state: JobState, runs: int = 9) -> Document:
    return Document({"job": state}, runs)


def random_document(chance: random.Random) -> Document:
    jobs = {}
    for number in range(chance.randrange(4)):
        numbers = iter(range(1000 * number, 1000 * number + 50))
        runs: list[DoneRun | OpenRun] = []
        for hour in sorted(chance.sample(range(40), chance.randrange(8))):
            make = chance.choice((done, done, claimed, waiting))
            run = make(hour, next(numbers))
            if isinstance(run, DoneRun):
                run = done(hour, run.run_id, chance.choice(list(Outcome)))
                if run.outcome is Outcome.MISSED:
                    run = run._replace(last_at=run.at + HOUR // 2, fire_count=chance.randrange(2, 9))
            runs.append(run)
        state = job(chance.choice((None, 40, 41)), *runs, paused_at=chance.choice((None, T0 + 5)))
        jobs[f"job-{number}"] = state._replace(name=f"job-{number}")
    return Document(jobs, chance.randrange(10**6))


@pytest.mark.parametrize("seed", range(60))
def test_text_says_all(seed: int) -> None:
    document = random_document(random.Random(seed))
    text = text_of(document)
    assert read(text) == document
    assert text_of(read(text)) == text
    body = text.splitlines()[1:-1]
    assert len(body) == len(set(body))


def test_any_changed_byte_is_noticed() -> None:
    text = text_of(one(job(3, done(1, 1), claimed(2, 2))))
    chance = random.Random(1)
    for _ in range(300):
        at = chance.randrange(len(text))
        changed = text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]
        with pytest.raises(StateUnreadable):
            read(changed)
        with pytest.raises(StateUnreadable):
            read(text[:at])


@pytest.mark.parametrize(
    "line",
    [
        "job",
        "job cursor",
        "job cursor 2026-05-01",
        "job cursor 2026-05-01T00:00:00+02:00",
        "JOB cursor -",
        "job colour red",
        "job firing [1]",
        "job firing {",
        "* runs many",
        "job done 2026-05-01T00:00:00Z run=1",
        f"{lines_of(job(1, done(0, 1)))[2]} more=1",
        lines_of(job(1, done(0, 1)))[2].replace("success", "great"),
        lines_of(job(1, claimed(0, 1)))[3].replace("state=running", "state=queued"),
        lines_of(job(1, claimed(0, 1)))[3].replace("run=1", "run=-x"),
    ],
)
def test_line_that_says_nothing_known_is_damage(line: str) -> None:
    with pytest.raises(StateUnreadable, match="line 3"):
        read(sealed(["cronq-state 1", "* runs 1", line]))


def test_newer_state_is_refused_by_its_version() -> None:
    with pytest.raises(StateUnreadable, match="newer cronq"):
        seal_of("cronq-state 2\nwhatever\n")


def test_few_runs_are_kept_and_the_last_of_each_outcome() -> None:
    runs = [done(0, 1, Outcome.TIMEOUT), done(1, 2, Outcome.FAILURE), *(done(h, 3 + h) for h in range(2, 40))]
    found = kept(runs)
    assert len(found) == KEPT + 2
    assert [run.outcome for run in found[:2]] == [Outcome.TIMEOUT, Outcome.FAILURE]


def test_firing_is_what_decides_about_fire_times() -> None:
    usual = Definition(Command(CommandKind.ARGV, ("true",)), "0 * * * *")
    assert firing_of(usual) == {"schedule": "0 * * * *"}
    rich = usual._replace(
        tz="Europe/Berlin", dst="skip", calendars=("office:skip",), valid_until="2027-01-01"
    )
    assert with_firing(usual, firing_of(rich)) == rich
    assert with_firing(rich._replace(timeout_s=3.0), firing_of(usual)) == usual._replace(timeout_s=3.0)


# Merging


@pytest.mark.parametrize("seed", range(60))
def test_merge_with_itself_or_with_nothing_changes_nothing(seed: int) -> None:
    document = random_document(random.Random(seed))
    assert merge(document, document) == (document, [])
    assert merge(document, EMPTY) == (document, [])


@pytest.mark.parametrize("seed", range(60))
def test_merge_is_the_same_whichever_comes_first(seed: int) -> None:
    a, b = random_document(random.Random(seed)), random_document(random.Random(seed + 1000))
    assert text_of(merge(a, b)[0]) == text_of(merge(b, a)[0])
    assert sorted(merge(a, b)[1], key=repr) == sorted(merge(b, a)[1], key=repr)
    merged = merge(a, b)[0]
    assert read(text_of(merged)) == merged


LATER = {
    "nothing new": (job(2, done(1, 1)), job(2, done(1, 1))),
    "one more run": (job(2, done(1, 1)), job(3, done(1, 1), done(2, 2))),
    "a claim that ended": (job(2, claimed(1, 1)), job(2, done(1, 1))),
    "a claim that failed and waits": (job(2, claimed(1, 1)), job(2, waiting(1, 1))),
    "a retry that was claimed": (job(2, waiting(1, 1)), job(2, claimed(1, 1, attempt=2, failures=1))),
    "a retry that succeeded": (job(2, waiting(1, 1)), job(3, done(1, 1, attempt=2), done(2, 2))),
}


@pytest.mark.parametrize("case", LATER)
def test_older_state_of_the_same_line_is_no_conflict(case: str) -> None:
    older, newer = LATER[case]
    for pair in ((older, newer), (newer, older)):
        merged, conflicts = merge(one(pair[0]), one(pair[1]))
        assert conflicts == []
        assert merged.jobs["job"] == newer


CONFLICTS = {
    "both ran it": (job(2, done(1, 1)), job(2, done(1, 5)), "may have run twice"),
    "both claimed it": (job(2, claimed(1, 1)), job(2, claimed(1, 5)), "may have run twice"),
    "one ran it, one missed it": (job(2, done(1, 1)), job(2, done(1, 5, Outcome.MISSED)), "decided by both"),
    "the same attempt": (
        job(2, claimed(1, 1)),
        job(2, claimed(1, 1, claimed_at=T0 + HOUR + 9)),
        "the same attempt",
    ),
    "two ends": (job(2, done(1, 1)), job(2, done(1, 1, Outcome.FAILURE)), "not in the same way"),
    "a claim that the other never saw": (job(2, claimed(1, 1)), job(3), "unknown to the other"),
    "another schedule": (job(2), job(3, firing={"schedule": "5 * * * *"}), "schedule is not the same"),
    "paused in one": (job(2), job(2, paused_at=T0), "paused"),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_conflict_is_told_whichever_comes_first(case: str) -> None:
    a, b, text = CONFLICTS[case]
    for pair in ((a, b), (b, a)):
        _, conflicts = merge(one(pair[0]), one(pair[1]))
        assert len(conflicts) == 1
        assert text in conflicts[0].text


def test_fire_time_that_either_ran_counts_as_run() -> None:
    merged, _ = merge(one(job(2, done(1, 1, Outcome.MISSED))), one(job(2, done(1, 5, Outcome.FAILURE))))
    assert [run.outcome for run in merged.jobs["job"].done] == [Outcome.FAILURE]
    merged, _ = merge(one(job(2, claimed(1, 1))), one(job(2, done(1, 5))))
    assert merged.jobs["job"].open == ()


def test_later_cursor_and_the_higher_number_hold() -> None:
    merged, _ = merge(one(job(5), runs=3), one(job(2), runs=8))
    assert (merged.jobs["job"].cursor, merged.runs) == (T0 + 5 * HOUR, 8)
    merged, _ = merge(one(job(None)), one(job(2)))
    assert merged.jobs["job"].cursor is None
