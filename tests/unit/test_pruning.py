"""Retention carried out on a real store and real log files."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq import pruning
from cronq.errors import StoreFull, UsageError
from cronq.model import SECOND, Micros
from cronq.pruning import Pruned, prune, prune_kept
from cronq.retention import Keep
from cronq.store import JobHistory, Place, RunQuery
from cronq.store.sqlite import SqliteStore, open_store
from tests.unit.store.builders import NOW, add, redefine, remove

DAY = 86_400 * SECOND


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "cronq.db", tmp_path / "logs", "test")


@pytest.fixture
def store(place: Place) -> Iterator[SqliteStore]:
    opened = open_store(place, create=True, environ={})
    yield opened
    opened.close()


def history(store: SqliteStore, name: str = "job") -> JobHistory:
    return store.histories([name])[0]


def insert(store: SqliteStore, finished_at: Micros | None, **fields: object) -> int:
    """Add a run of the first job as it stands, past the rules of how runs come to be."""
    values = {
        "job_id": 1,
        "revision": 1,
        "trigger": "manual",
        "logical_at": finished_at or NOW,
        "state": "done" if finished_at is not None else "queued",
        "outcome": "failure" if finished_at is not None else None,
        "queued_at": finished_at or NOW,
        "available_at": finished_at or NOW,
        "attempt": 1 if finished_at is not None else 0,
        "finished_at": finished_at,
        **fields,
    }
    names, places = ", ".join(values), ", ".join(f":{name}" for name in values)
    (run_id,) = store._db.execute(
        f"INSERT INTO run ({names}) VALUES ({places}) RETURNING id", values
    ).fetchone()
    return int(run_id)


def write_log(place: Place, run_id: int, blocks: int, attempt: int = 1) -> None:
    path = place.log_file(run_id, attempt)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(b"x" * 4096 * blocks)


def left(store: SqliteStore, name: str = "job") -> list[int]:
    return sorted(run.id for run, _ in store.runs(RunQuery((name,), limit=100_000)))


def logs(place: Place) -> list[int]:
    return sorted(int(path.name.split(".")[0]) for path in place.logs.glob("*/*.log"))


def pruned(store: SqliteStore, place: Place, keep: Keep, now: Micros = NOW, **fields: bool) -> Pruned:
    return sum(prune(store, place, history(store), keep, now, **fields), Pruned())


def expected(
    rows: list[tuple[int, Micros, Micros | None, int]], spared: set[int], keep: Keep, now: Micros
) -> list[int]:
    """The rule, run by run, as it is written down: rows are (number, queued, finished, bytes)."""
    stay, done, spent = [], 0, 0
    for run_id, _, finished_at, size in sorted(rows, reverse=True):
        if finished_at is None:
            stay.append(run_id)
            continue
        done += 1
        spent += size
        too_many = keep.runs is not None and done > keep.runs
        too_large = keep.size is not None and spent > keep.size
        too_old = keep.age_s is not None and finished_at < now - round(keep.age_s * SECOND)
        if run_id in spared or not (too_many or too_large or too_old):
            stay.append(run_id)
    return sorted(stay)


def random_history(
    rng: random.Random, store: SqliteStore, place: Place
) -> list[tuple[int, Micros, Micros | None, int]]:
    rows = []
    queued_at = NOW - 40 * DAY
    for _ in range(rng.randint(0, 60)):
        queued_at += rng.randrange(DAY)
        ahead = 100 * DAY if rng.random() < 0.05 else 0  # a clock that was wrong for a while
        finished_at = queued_at + ahead + rng.choice([0, SECOND, rng.randrange(5 * DAY)])
        ran = rng.random() < 0.7
        is_done = rng.random() < 0.9
        outcome = rng.choice(["success", "failure", "timeout"]) if ran else rng.choice(["skipped", "missed"])
        run_id = insert(
            store,
            finished_at if is_done else None,
            queued_at=queued_at + ahead,
            outcome=outcome if is_done else None,
            attempt=int(ran and is_done),
        )
        blocks = rng.randint(0, 3) if ran and is_done else 0
        if blocks or (ran and is_done and rng.random() < 0.1):
            write_log(place, run_id, blocks)
        rows.append((run_id, queued_at + ahead, finished_at if is_done else None, blocks * 4096))
    return rows


@pytest.mark.parametrize("round_", range(12))
def test_what_stays_is_what_the_rule_says(
    round_: int, store: SqliteStore, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the rule applied run by run, with pages and batches of any size."""
    seed = random.randrange(10**9)
    rng = random.Random(seed)
    for name in ("BATCH", "LOOKED_AT", "MEASURED"):
        monkeypatch.setattr(pruning, name, rng.choice([1, 2, 7, 1000]))
    add(store)
    rows = random_history(rng, store, place)
    for _ in range(3):
        keep = Keep(
            rng.choice([None, rng.randint(1, 50) * 86_400.0]),
            rng.choice([None, rng.randint(1, 40)]),
            rng.choice([None, rng.randint(1, 60) * 4096]),
        )
        spared = set(store.spared_runs(1))
        stay = expected(rows, spared, keep, NOW)
        goes = {row[0]: row[3] for row in rows if row[0] not in stay}
        would = pruned(store, place, keep, only_count=True)
        assert left(store) == [row[0] for row in rows], (seed, keep)
        did = pruned(store, place, keep)
        assert left(store) == stay, (seed, keep)
        assert set(logs(place)) <= set(stay), (seed, keep)
        assert did == would == Pruned(len(goes), sum(goes.values())), (seed, keep)
        rows = [row for row in rows if row[0] in stay]


def test_logs_of_all_attempts_go(store: SqliteStore, place: Place) -> None:
    add(store)
    old = insert(store, NOW - DAY, attempt=3)
    for attempt in (1, 3):  # the second could not be started
        write_log(place, old, 1, attempt)
    insert(store, NOW)
    assert pruned(store, place, Keep(age_s=60)) == Pruned(1, 8192)
    assert logs(place) == []


def test_size_is_what_logs_take_on_the_disk(store: SqliteStore, place: Place) -> None:
    """A log whose middle was cut out is long, but takes little."""
    add(store)
    for _ in range(3):
        write_log(place, run_id := insert(store, NOW), 0)
        os.truncate(place.log_file(run_id, 1), 10**9)
    assert pruned(store, place, Keep(size=10**6)) == Pruned()


def test_folders_of_logs_go_when_no_run_can_need_them(store: SqliteStore, place: Place) -> None:
    add(store)
    for run_id in (5, 999, 1500, 2500):
        insert(store, NOW - DAY, id=run_id)
        write_log(place, run_id, 1)
    insert(store, None, id=1700)
    insert(store, NOW, id=2600)
    pruned(store, place, Keep(age_s=60))
    assert [path.name for path in sorted(place.logs.iterdir())] == ["000001", "000002"]


def test_log_that_cannot_be_removed_keeps_its_row(store: SqliteStore, place: Place) -> None:
    add(store)
    runs = [insert(store, NOW - DAY) for _ in range(3)]
    for run_id in runs:
        write_log(place, run_id, 1)
    place.log_file(runs[1], 1).unlink()
    place.log_file(runs[1], 1).mkdir()
    insert(store, NOW)
    with pytest.raises(StoreFull, match="cannot remove"):
        pruned(store, place, Keep(age_s=60))
    assert left(store) == [runs[1], runs[2], 4]
    assert pruned(store, place, Keep(age_s=60), only_count=True).runs == 2


def test_step_is_bounded(store: SqliteStore, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """No transaction removes more than a batch, whatever there is."""
    monkeypatch.setattr(pruning, "BATCH", 10)
    add(store)
    for _ in range(95):
        insert(store, NOW - DAY)
    steps = [step.runs for step in prune(store, place, history(store), Keep(runs=5), NOW)]
    assert max(steps) == 10
    assert sum(steps) == 90


def test_oldest_go_first(store: SqliteStore, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """So what can be proved of the past is all that is left."""
    monkeypatch.setattr(pruning, "BATCH", 3)
    add(store)
    for number in range(30):
        at = NOW - DAY + number * SECOND
        insert(store, at, trigger="schedule", fire_at=at, last_fire_at=at)
    for _ in itertools.islice(prune(store, place, history(store), Keep(runs=2), NOW), 4):
        pass
    assert left(store) == list(range(13, 31))
    ((pruned_before,),) = store._db.execute("SELECT pruned_before FROM job").fetchall()
    assert pruned_before == NOW - DAY + 11 * SECOND + 1


# The limits of the job itself


def test_own_limits_are_applied_until_they_change(
    store: SqliteStore, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BATCH", 10)
    add(store, due=None, keep="5")
    for _ in range(50):
        insert(store, NOW - DAY)
    steps = prune_kept(store, place, history(store), NOW)
    assert next(steps) == Pruned(10, 0)
    redefine(store, "job", keep=None)
    assert list(steps) == []
    assert len(left(store)) == 40


def test_limits_that_cannot_be_read_remove_nothing(store: SqliteStore, place: Place) -> None:
    add(store, keep="some")
    insert(store, 1)
    insert(store, 1)
    with pytest.raises(UsageError):
        list(prune_kept(store, place, history(store), NOW))
    assert len(left(store)) == 2


def test_tombstone_keeps_its_newest_for_a_week_and_then_goes(store: SqliteStore, place: Place) -> None:
    add(store, keep="1d")
    insert(store, NOW - 2 * DAY)
    newest = insert(store, NOW - DAY)
    remove(store, "job", now=NOW)
    gone = history(store)
    for days in (2, 7):
        list(prune_kept(store, place, gone, NOW + days * DAY))
        assert left(store) == [newest]
    list(prune_kept(store, place, gone, NOW + 7 * DAY + 1))
    assert store.jobs_ever(limit=9) == []
    assert store._db.execute("SELECT count(*) FROM definition").fetchone() == (0,)


def test_tombstone_without_an_age_keeps_its_runs(store: SqliteStore, place: Place) -> None:
    add(store, keep="2")
    for _ in range(3):
        insert(store, NOW)
    remove(store, "job", now=NOW)
    list(prune_kept(store, place, history(store), NOW + 100 * DAY))
    assert left(store) == [2, 3]
