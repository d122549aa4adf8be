"""`cronq overdue --state`: judged by the text that ticks keep, without a database."""

from __future__ import annotations

import json

import pytest

from cronq.model import Outcome, Trigger
from cronq.portable.document import Document, DoneRun, JobState
from cronq.portable.text import text_of
from tests.cli.world import World, at

HOURLY = '[jobs.a]\nschedule = "0 * * * *"\ntz = "UTC"\ncommand = ["true"]\ntimeout = "10m"\n'
FIRING = {"schedule": "0 * * * *"}


def done(text: str, outcome: Outcome = Outcome.SUCCESS, *, until: str = "", number: int = 1) -> DoneRun:
    last = at(until or text)
    return DoneRun(at(text), number, last, Trigger.SCHEDULE, outcome, last, 1, last, last)


def state(*runs: DoneRun, cursor: str | None = "2026-01-02T08:00:00Z", **fields: object) -> JobState:
    job = JobState("a", "0", FIRING, None if cursor is None else at(cursor), done=runs)
    return job._replace(**fields)  # type: ignore[arg-type]


@pytest.fixture
def watched(world: World) -> World:
    """Eight o'clock, with a file of one hourly job, and no state."""
    (world.root / "work" / "cronq.toml").write_text(HOURLY)
    return world


def keep(world: World, *jobs: JobState) -> None:
    (world.root / "work" / "state").write_text(text_of(Document({job.name: job for job in jobs}, 9)))


def overdue(world: World, *options: str) -> tuple[int, dict[str, str]]:
    answer = world.run("overdue", "--state", "state", *options, "--json")
    assert answer.code in {0, 1}, answer.err
    return answer.code, {one["name"]: one["standing"] for one in json.loads(answer.out)["jobs"]}


def test_success_in_time(watched: World) -> None:
    keep(watched, state(done("2026-01-02T07:00:00Z")))
    files = sorted(path.name for path in watched.root.rglob("*"))
    assert overdue(watched) == (0, {"a": "ok"})
    assert overdue(watched, "a", "--within", "2h") == (0, {"a": "ok"})
    assert overdue(watched, "--within", "a=30m") == (1, {"a": "overdue"})
    assert sorted(path.name for path in watched.root.rglob("*")) == files, "nothing is made"


def test_no_tick_since(watched: World) -> None:
    keep(watched, state(done("2026-01-02T04:00:00Z"), cursor="2026-01-02T05:00:00Z"))
    assert overdue(watched) == (1, {"a": "overdue"})
    assert overdue(watched, "--grace", "4h") == (0, {"a": "ok"})
    answer = watched.run("overdue", "--state", "state", "-q")
    assert (answer.code, answer.out) == (1, "a\n")
    answer = watched.run("overdue", "--state", "state", "--nagios")
    assert answer.code == 2
    assert answer.out.startswith("CRONQ CRITICAL - 1 of 1 job overdue: a (last success 4h ago) | overdue=1")


def test_nothing_was_due_yet(watched: World) -> None:
    keep(watched, state(cursor="2026-01-02T08:00:00Z"))
    assert overdue(watched) == (0, {"a": "waiting"})
    keep(watched, state(cursor=None))
    assert overdue(watched) == (0, {"a": "waiting"})
    # Not one tick since the first.
    keep(watched, state(cursor="2026-01-02T07:00:00Z"))
    assert overdue(watched) == (1, {"a": "overdue"})


def test_failures_alone(watched: World) -> None:
    keep(watched, state(done("2026-01-02T07:00:00Z", Outcome.FAILURE)))
    assert overdue(watched) == (1, {"a": "overdue"})
    # Only the ten newest are kept; what failed before them is not forgotten.
    hours = [done(f"2026-01-01T{hour:02}:00:00Z", Outcome.FAILURE, number=hour) for hour in range(14, 24)]
    keep(watched, state(*hours, cursor="2026-01-02T00:00:00Z"))
    assert overdue(watched, "--grace", "20h") == (1, {"a": "overdue"})


def test_fire_time_of_another_schedule_is_not_expected(watched: World) -> None:
    """Hourly since half past seven, daily before: seven o'clock was no fire time then."""
    keep(watched, state(done("2026-01-02T02:00:00Z")))
    assert overdue(watched) == (0, {"a": "waiting"})
    # It was one, and was missed.
    missed = done("2026-01-02T05:00:00Z", Outcome.MISSED, until="2026-01-02T07:00:00Z", number=2)._replace(
        fire_count=3
    )
    keep(watched, state(done("2026-01-02T02:00:00Z"), missed))
    assert overdue(watched) == (1, {"a": "overdue"})


def test_file_that_was_changed_since_the_last_tick(watched: World) -> None:
    daily = state(
        done("2026-01-02T02:00:00Z"), cursor="2026-01-03T02:00:00Z", firing={"schedule": "0 2 * * *"}
    )
    keep(watched, daily)
    assert overdue(watched) == (0, {"a": "ok"})
    keep(watched, daily._replace(firing={"schedule": "gone 2 * * *"}))
    assert overdue(watched) == (1, {"a": "unknown"})
    keep(watched, daily._replace(firing={"schedule": 7}))
    assert overdue(watched) == (1, {"a": "unknown"})
    keep(watched, daily._replace(firing={"schedule": "0 2 * * *", "tz": 7}))
    assert overdue(watched) == (1, {"a": "unknown"})
    keep(watched, daily._replace(firing={"shedule": "0 2 * * *"}))
    assert overdue(watched) == (1, {"a": "unknown"})


def test_paused(watched: World) -> None:
    late = state(cursor="2026-01-02T05:00:00Z")
    keep(watched, late._replace(paused_at=at("2026-01-02T04:00:00Z")))
    assert overdue(watched) == (0, {"a": "paused"})
    keep(watched, late)
    (watched.root / "work" / "cronq.toml").write_text(f"{HOURLY}paused = true\n")
    assert overdue(watched) == (0, {"a": "paused"})


def test_job_on_one_side_alone(watched: World) -> None:
    keep(watched, state()._replace(name="old"))
    assert overdue(watched) == (1, {"a": "unknown"})
    answer = watched.run("overdue", "--state", "state", tty=False)
    assert "the state does not know it" in answer.out
    assert answer.err == "note: not in cronq.toml any more, and not judged: old\n"
    answer = watched.run("overdue", "--state", "state", "old")
    assert (answer.code, answer.out) == (3, "")
    assert "cronq.toml: no job named `old`" in answer.err
    assert watched.run("overdue", "--state", "state", "--within", "old=2h").code == 3


def test_file_without_jobs(watched: World) -> None:
    keep(watched)
    (watched.root / "work" / "cronq.toml").write_text("")
    answer = watched.run("overdue", "--state", "state")
    assert answer.code == 1
    assert "there are no jobs" in answer.out


def test_state_that_cannot_be_used(watched: World) -> None:
    def refused(words: str) -> None:
        answer = watched.run("overdue", "--state", "state")
        assert (answer.code, answer.out) == (5, "")
        assert words in answer.err
        answer = watched.run("overdue", "--state", "state", "--nagios")
        assert answer.code == 3
        assert answer.out.startswith("CRONQ UNKNOWN - ")

    path = watched.root / "work" / "state"
    refused("there is no state /work/state")
    keep(watched, state(done("2026-01-02T07:00:00Z")))
    whole = path.read_text()
    path.write_text(whole.replace("07:00", "08:00", 1))
    refused("it is not what its checksum says")
    path.write_text(whole[:-20])
    refused("state is damaged")
    path.write_text(whole.replace("cronq-state 1", "cronq-state 2"))
    refused("newer cronq")
    path.unlink()
    path.mkdir()
    refused("cannot be read")


def test_request_that_is_wrong(watched: World) -> None:
    keep(watched, state(done("2026-01-02T07:00:00Z")))
    for options, words in (
        (("--file", "cronq.toml"), "--file needs --state"),
        (("--state", "state", "--db", "x.db"), "contradict"),
        (("--state", "state", "--file", "none.toml"), "there is no file /work/none.toml"),
        (("--state", "state", "--grace", "1h", "--within", "1h"), "contradict"),
    ):
        answer = watched.run("overdue", *options)
        assert (answer.code, answer.out) == (2, ""), options
        assert words in answer.err
    (watched.root / "work" / "cronq.toml").write_text(f"{HOURLY}shedule = 'x'\n")
    answer = watched.run("overdue", "--state", "state")
    assert (answer.code, answer.out) == (2, "")
    assert "cronq.toml:6" in answer.err


def test_agrees_with_the_ledger_that_the_text_is_of(world: World) -> None:
    """Real ticks, two of them late; then both sources are asked at many instants."""
    (world.root / "work" / "cronq.toml").write_text(
        """
        [defaults]
        tz = "UTC"
        timeout = "5m"
        [jobs.hourly]
        shell = "echo hi"
        schedule = "0 * * * *"
        [jobs.daily]
        shell = "echo hi"
        schedule = "30 9 * * *"
        catch-up = "all"
        [jobs.held]
        shell = "echo hi"
        schedule = "0 * * * *"
        blackout = "09:00-12:00:drop"
        [jobs.fails]
        schedule = "15 * * * *"
        shell = "exit 3"
        retries = 0
        [jobs.once]
        shell = "echo hi"
        schedule = "at 2026-01-02T10:20"
        """
    )
    for now, code in (("08:00", 0), ("10:05", 1), ("10:25", 1), ("15:40", 1)):
        answer = world.run("tick", "--state", "state", "--now", f"2026-01-02T{now}Z", tty=False)
        assert answer.code == code, answer.err
    ledger = str(world.root / "work" / "state.db")
    seen = set()
    # Of a job that never succeeded the window begins when it was added, which no state tells.
    well = ("hourly", "daily", "held", "once")
    for minutes in range(7 * 60, 40 * 60, 35):
        world.now = at("2026-01-02T09:00:00Z") + minutes * 60_000_000
        for options in ((), ("--grace", "2h"), ("--within", "3h", *well), ("--within", "30h", *well)):
            by_state = world.run("overdue", "--state", "state", *options, "--json")
            by_ledger = world.run("overdue", "--db", ledger, *options, "--json")
            assert by_state.code == by_ledger.code
            found, expected = json.loads(by_state.out), json.loads(by_ledger.out)
            assert found == expected, (minutes, options)
            seen |= {(one["name"], one["standing"]) for one in found["jobs"]}
    assert {("hourly", "ok"), ("hourly", "overdue"), ("fails", "overdue"), ("once", "ok")} <= seen
