"""The scheduler is killed, and perhaps the worker too: what becomes of the command, and of its end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cronq import clock
from cronq.model import AttemptKey, Definition, Outcome, State
from cronq.store import NewJob, RunDetail, open_store
from cronq.worker import guard, kernel, left_ends, liveness
from cronq.worker.spool import log_now, open_log
from tests.crash.worker_scheduler import place_of
from tests.unit.worker.rig import PATIENCE_S, Rig, function, is_running, shell

ROOT = Path(__file__).parents[2]


class Scheduler:
    """The helper process, and the ledger that it works on."""

    def __init__(self, database: Path, *options: str) -> None:
        self.place = place_of(str(database))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.worker_scheduler", str(database), *options],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._buffer = b""

    def wait_for(self, *events: str) -> dict[str, Any]:
        """Return the next event of one of these names; others before it are dropped."""
        assert self.process.stdout is not None
        deadline = clock.monotonic() + PATIENCE_S
        while True:
            line, separator, rest = self._buffer.partition(b"\n")
            if separator:
                self._buffer = rest
                found: dict[str, Any] = json.loads(line)
                if found["event"] in events:
                    return found
                continue
            ready, _, _ = select.select([self.process.stdout], [], [], deadline - clock.monotonic())
            assert ready, f"no {events}"
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, f"the scheduler ended before {events}"
            self._buffer += data

    def wait_for_all(self, *events: str) -> dict[str, dict[str, Any]]:
        """Return the next event of each of these names, in whatever order they come."""
        found: dict[str, dict[str, Any]] = {}
        while missing := set(events) - found.keys():
            one = self.wait_for(*missing)
            found[one["event"]] = one
        return found

    def order(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word.encode() + b"\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.reap()

    def reap(self) -> None:
        # To its end: the workers that outlive it do not hold its output open.
        self.process.communicate(timeout=PATIENCE_S)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "cronq.db"
    open_store(place_of(str(path)), create=True).close()
    return path


@pytest.fixture
def scheduler(database: Path) -> Iterator[Callable[..., Scheduler]]:
    made: list[Scheduler] = []

    def start(*options: str) -> Scheduler:
        made.append(Scheduler(database, *options))
        made[-1].wait_for("up")
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            one.kill()


def queue(database: Path, what: Definition) -> int:
    store = open_store(place_of(str(database)))
    now = clock.now_us()
    store.add_job(NewJob("job", what, None), now=now)
    (run,) = store.trigger(["job"], now=now)
    store.close()
    return run.id


def run_of(database: Path, run_id: int) -> RunDetail:
    store = open_store(place_of(str(database)))
    try:
        return store.run(run_id)
    finally:
        store.close()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = clock.monotonic() + PATIENCE_S
    while not condition():
        assert clock.monotonic() < deadline
        clock.sleep(0.01)


def is_done(database: Path, run_id: int) -> bool:
    return run_of(database, run_id).run.state is State.DONE


def printed(scheduler: Scheduler, key: AttemptKey, worker: str) -> str:
    _, fd = open_log(scheduler.place, key, worker)
    if fd is None:
        return ""
    with os.fdopen(fd) as file:
        return file.read()


def gated(tmp_path: Path, last: str) -> tuple[Definition, Path]:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    return shell(f"echo begun; read line <{gate}; echo $line; {last}"), gate


Start = Callable[..., Scheduler]


def test_worker_records_the_end_after_the_death_of_the_scheduler(
    tmp_path: Path, database: Path, scheduler: Start
) -> None:
    what, gate = gated(tmp_path, "exit 23")
    run_id = queue(database, what)
    first = scheduler()
    started = first.wait_for("started")
    first.kill()
    assert is_running(started["pid"])
    assert liveness.is_attempt_alive(first.place, (run_id, 1), started["worker"])
    gate.write_text("ended\n")
    wait_until(lambda: is_done(database, run_id))
    detail = run_of(database, run_id)
    assert (detail.run.outcome, detail.run.reason) == (Outcome.FAILURE, "exit 23")
    assert detail.attempts[0].usage is not None
    assert detail.attempts[0].started_at is not None
    assert first.place.log_file(run_id, 1).read_text() == "begun\nended\n"
    # it rings, removes its files and leaves
    wait_until(lambda: not any(is_running(pid) for pid in started["workers"]))
    assert [path.name for path in first.place.attempts.iterdir()] == []


def test_retry_is_decided_by_the_orphaned_worker(tmp_path: Path, database: Path, scheduler: Start) -> None:
    what, gate = gated(tmp_path, "exit 1")

    run_id = queue(database, what._replace(retries=1, retry_delay_s=3600))
    first = scheduler()
    first.wait_for("started")
    first.kill()
    gate.write_text("ended\n")
    wait_until(lambda: run_of(database, run_id).run.state is State.QUEUED)
    run = run_of(database, run_id).run
    assert (run.attempt, run.failures) == (1, 1)


def test_end_that_was_not_acknowledged_is_recorded_by_the_worker(database: Path, scheduler: Start) -> None:
    run_id = queue(database, shell("echo done"))
    deaf = scheduler("--deaf")
    deaf.wait_for("ended")
    assert run_of(database, run_id).run.state is State.RUNNING
    deaf.kill()
    wait_until(lambda: is_done(database, run_id))
    detail = run_of(database, run_id)
    assert detail.run.outcome is Outcome.SUCCESS
    assert detail.attempts[0].started_at is not None


def test_next_scheduler_leaves_a_living_worker_to_its_work(
    tmp_path: Path, database: Path, scheduler: Start
) -> None:
    what, gate = gated(tmp_path, "exit 23")
    run_id = queue(database, what)
    first = scheduler()
    first.wait_for("started")
    first.kill()
    second = scheduler()
    second.order("adopt")
    assert second.wait_for("adopted")["alive"]
    gate.write_text("ended\n")
    # The worker writes and rings; what the second scheduler thinks of it comes too late, and changes nothing.
    assert second.wait_for_all("rang", "ended")["ended"]["recorded"] == 0
    assert run_of(database, run_id).run.reason == "exit 23"


def test_next_scheduler_stops_a_run_of_the_earlier_one(
    tmp_path: Path, database: Path, scheduler: Start
) -> None:
    what, _gate = gated(tmp_path, "exit 23")
    run_id = queue(database, what)
    first = scheduler()
    pid = first.wait_for("started")["pid"]
    first.kill()
    store = open_store(first.place)
    store.cancel(run_id, reason="no longer needed", now=clock.now_us())
    store.close()
    second = scheduler()
    second.order("adopt")
    second.wait_for("adopted")
    second.order("stop")
    wait_until(lambda: is_done(database, run_id))
    run = run_of(database, run_id).run
    assert (run.outcome, run.reason) == (Outcome.CANCELLED, "no longer needed")
    assert not is_running(pid)


@pytest.mark.parametrize("order", ["stop", "kill"])
def test_next_scheduler_stops_a_callable_of_the_earlier_one(
    tmp_path: Path, database: Path, scheduler: Start, order: str
) -> None:
    (tmp_path / "stubborn.py").write_text(
        "import time\ndef f():\n  while True:\n    try: time.sleep(60)\n    except BaseException: pass\n"
    )
    run_id = queue(database, function("stubborn:f", cwd=str(tmp_path), kill_after_s=0.2))
    first = scheduler()
    first.wait_for("started")
    first.kill()
    second = scheduler()
    second.order("adopt")
    second.wait_for("adopted")
    second.order(order)
    assert second.wait_for("ended")["outcome"] == "cancelled"
    assert is_done(database, run_id)


def test_command_that_outlives_both_is_waited_for(tmp_path: Path, database: Path, scheduler: Start) -> None:
    what, gate = gated(tmp_path, "exit 23")
    run_id = queue(database, what)
    first = scheduler()
    started = first.wait_for("started")
    _kill_both(first, started)
    assert is_running(started["pid"])
    second = scheduler()
    second.order("adopt")
    assert second.wait_for("adopted")["alive"]
    assert run_of(database, run_id).run.state is State.RUNNING
    gate.write_text("ended\n")
    ended = second.wait_for("ended")
    assert (ended["outcome"], ended["reason"], ended["recorded"]) == ("abandoned", "exit status unknown", 1)
    assert second.place.log_file(run_id, 1).read_text() == "begun\nended\n"


@pytest.mark.parametrize("order", ["stop", "kill"])
def test_command_that_outlives_both_can_be_stopped(
    tmp_path: Path, database: Path, scheduler: Start, order: str
) -> None:
    what, _gate = gated(tmp_path, "exit 23")
    queue(database, what)
    first = scheduler()
    started = first.wait_for("started")
    _kill_both(first, started)
    second = scheduler()
    second.order("adopt")
    second.wait_for("adopted")
    second.order(order)
    assert second.wait_for("ended")["outcome"] == "cancelled"
    assert not is_running(started["pid"])


@pytest.mark.parametrize(
    ("order", "timeout_s", "reason"),
    [("stop", None, "asked"), ("kill", None, "killed"), ("", 0.5, "timeout 0.5s")],
)
def test_hung_worker_of_an_earlier_scheduler_does_not_make_its_run_immortal(
    tmp_path: Path,
    database: Path,
    scheduler: Start,
    monkeypatch: pytest.MonkeyPatch,
    order: str,
    timeout_s: float | None,
    reason: str,
) -> None:
    monkeypatch.setattr(guard, "GIVE_UP_S", 0.1)
    monkeypatch.setattr(guard, "LEFTOVER_GRACE_S", 0.1)
    what, _gate = gated(tmp_path, "exit 23")
    run_id = queue(database, what._replace(timeout_s=timeout_s, kill_after_s=0.2))
    first = scheduler()
    started = first.wait_for("started")
    # To every worker: which one has the attempt is not said.
    for pid in started["workers"]:
        os.kill(pid, signal.SIGSTOP)
    first.kill()
    store = open_store(first.place)
    (held,) = store.held()
    store.close()
    rig = Rig(tmp_path)
    assert rig.pool.adopt(held)
    if order == "stop":
        rig.pool.stop((run_id, 1), "asked")
    elif order == "kill":
        rig.pool.kill((run_id, 1))
    end = rig.end_of((run_id, 1))
    assert end.outcome is (Outcome.CANCELLED if timeout_s is None else Outcome.TIMEOUT)
    assert end.reason == reason
    assert not is_running(started["pid"])
    rig.close()
    for pid in started["workers"]:
        kernel.send_signal(pid, signal.SIGKILL)


def test_adopted_attempt_takes_the_place_of_a_worker(
    tmp_path: Path, database: Path, scheduler: Start
) -> None:
    what, _gate = gated(tmp_path, "exit 23")
    run_id = queue(database, what)
    first = scheduler()
    first.wait_for("started")
    first.kill()
    store = open_store(first.place)
    (held,) = store.held()
    store.close()
    rig = Rig(tmp_path, size=1)
    rig.wait(rig.pool.idle)
    assert rig.pool.adopt(held)
    assert rig.pool.capacity == 0
    assert rig.pool.idle() == []
    rig.pool.kill((run_id, 1))
    rig.end_of((run_id, 1))
    assert len(rig.pool.idle()) == 1
    rig.close()


def test_attempt_that_died_with_everybody_is_not_adopted(
    tmp_path: Path, database: Path, scheduler: Start
) -> None:
    what, _gate = gated(tmp_path, "exit 23")
    queue(database, what)
    first = scheduler()
    started = first.wait_for("started")
    _kill_both(first, started)
    os.kill(started["pid"], signal.SIGKILL)
    wait_until(lambda: not is_running(started["pid"]))
    second = scheduler()
    second.order("adopt")
    assert not second.wait_for("adopted")["alive"]


def test_scheduler_that_leaves_in_order_takes_idle_workers_with_it(database: Path, scheduler: Start) -> None:
    queue(database, shell("true"))
    first = scheduler()
    workers = first.wait_for("started")["workers"]
    first.wait_for("ended")
    first.order("leave")
    first.reap()
    assert first.process.returncode == 0
    wait_until(lambda: not any(is_running(pid) for pid in workers))
    assert list(first.place.attempts.iterdir()) == []


def test_scheduler_that_leaves_does_not_wait_for_busy_workers(
    tmp_path: Path, database: Path, scheduler: Start
) -> None:
    what, gate = gated(tmp_path, "exit 0")
    run_id = queue(database, what)
    first = scheduler()
    first.wait_for("started")
    first.order("leave")
    first.reap()
    assert first.process.returncode == 0
    gate.write_text("ended\n")
    wait_until(lambda: is_done(database, run_id))
    assert run_of(database, run_id).run.outcome is Outcome.SUCCESS


def test_worker_waits_for_a_store_that_is_away(tmp_path: Path, database: Path, scheduler: Start) -> None:
    what, gate = gated(tmp_path, "exit 23")
    run_id = queue(database, what)
    first = scheduler()
    started = first.wait_for("started")
    first.kill()
    away = database.with_name("away.db")
    database.rename(away)
    gate.write_text("ended\n")
    wait_until(lambda: "ended" in printed(first, (run_id, 1), started["worker"]))
    away.rename(database)
    wait_until(lambda: is_done(database, run_id))
    assert run_of(database, run_id).run.reason == "exit 23"
    assert left_ends.read_left_ends(first.place) == []


def _kill_both(scheduler: Scheduler, started: dict[str, Any]) -> None:
    """Kill the scheduler, so that it cannot adopt, and then its workers."""
    os.kill(scheduler.process.pid, signal.SIGSTOP)
    for pid in started["workers"]:
        os.kill(pid, signal.SIGKILL)
    scheduler.kill()
    wait_until(lambda: not any(is_running(pid) for pid in started["workers"]))
    assert kernel.process_info(started["pid"]) is not None


def test_daemon_of_a_command_that_outlived_both_does_not_keep_the_run_running(
    database: Path, scheduler: Start
) -> None:
    run_id = queue(database, shell("setsid sleep 60 & echo $!; sleep 60"))
    first = scheduler()
    started = first.wait_for("started")
    log = log_now(first.place, (run_id, 1), started["worker"])
    wait_until(lambda: log.read_text().strip())
    _kill_both(first, started)
    os.kill(started["pid"], signal.SIGKILL)
    daemon = int(log.read_text())
    assert is_running(daemon)
    second = scheduler()
    second.order("adopt")
    assert second.wait_for("adopted")["alive"]
    assert second.wait_for("ended")["reason"] == "exit status unknown"
    assert not is_running(daemon)
    assert first.place.log_file(run_id, 1).read_text() == f"{daemon}\n"
