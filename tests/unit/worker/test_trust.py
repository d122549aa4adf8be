"""The file that says how long attempts may run: who may read what from it, and what is done by it."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq import clock
from cronq.model import Outcome
from cronq.worker import kernel
from cronq.worker.supervision import GIVE_UP_S, Order, Phase, Supervision, Verdict
from cronq.worker.trust import GRACE_S, LOST, Trust, TrustFile, Vigil
from tests.unit.worker.rig import Rig, function, is_running, shell


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trust"


@pytest.fixture
def file(path: Path) -> Iterator[TrustFile]:
    made = TrustFile(path)
    yield made
    made.close()


def in_s(seconds: float) -> int:
    return clock.boottime_ns() + round(seconds * 1e9)


def test_new_file_is_private_and_gives_no_trust(file: TrustFile, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Trust(path).left_s() <= 0


def test_trust_is_what_was_written(file: TrustFile, path: Path) -> None:
    trust = Trust(path)
    file.extend(in_s(28))
    assert 20 < trust.left_s() <= 28
    file.extend(in_s(-1))
    assert trust.left_s() <= -1
    file.extend(in_s(28))
    file.end()
    assert trust.left_s() <= 0


@pytest.mark.parametrize("content", [None, b"", b"1234567"])
def test_what_is_no_trust_file_gives_no_trust(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)
    assert Trust(path).left_s() <= 0


def test_trust_is_found_when_the_file_comes_later(path: Path) -> None:
    trust = Trust(path)
    assert trust.left_s() <= 0
    file = TrustFile(path)
    file.extend(in_s(28))
    assert trust.left_s() > 20
    file.close()


def test_trust_is_read_again_after_somebody_closed_its_descriptor(file: TrustFile, path: Path) -> None:
    file.extend(in_s(28))
    trust = Trust(path)
    assert trust.left_s() > 20
    os.close(trust._fd)
    assert trust.left_s() > 20


def test_successor_keeps_what_its_predecessor_was_given(file: TrustFile, path: Path) -> None:
    file.extend(in_s(28))
    TrustFile(path).close()
    assert Trust(path).left_s() > 20


def test_successor_ends_what_another_boot_was_given(file: TrustFile, path: Path) -> None:
    file.extend(in_s(3600))
    TrustFile(path).close()
    assert Trust(path).left_s() <= 0


# The ladder


def vigil(file: TrustFile, path: Path, left_s: float, **values: float) -> tuple[Vigil, Supervision]:
    watch = Supervision(100.0, timeout_s=None, kill_after_s=values.get("kill_after_s", 10.0))
    file.extend(in_s(left_s))
    return Vigil(Trust(path), watch), watch


def test_nothing_is_done_while_there_is_trust(file: TrustFile, path: Path) -> None:
    watching, watch = vigil(file, path, 28)
    watching.look(100)
    assert 100 < watching.look_at <= 101
    assert watch.deadline() is None


def test_it_looks_again_when_the_grace_begins(file: TrustFile, path: Path) -> None:
    watching, _ = vigil(file, path, GRACE_S + 0.5)
    watching.look(100)
    assert 100 < watching.look_at <= 100.5


def test_it_looks_only_when_it_is_time(file: TrustFile, path: Path) -> None:
    watching, watch = vigil(file, path, 28)
    watching.look(100)
    file.end()
    watching.look(100)
    assert watch.deadline() is None
    watching.look(101)
    assert watch.step(101) is Order.KILL_ALL


def test_in_the_grace_it_is_term_and_at_the_end_kill(file: TrustFile, path: Path) -> None:
    watching, watch = vigil(file, path, 2)
    watching.look(100)
    assert watch.step(100) is Order.TERM_GROUP
    assert watch.verdict == Verdict(Outcome.ABANDONED, LOST)
    deadline = watch.deadline()
    assert deadline is not None
    assert 101 < deadline <= 102
    assert watch.step(deadline) is Order.KILL_ALL


def test_job_that_wants_less_grace_gets_less(file: TrustFile, path: Path) -> None:
    watching, watch = vigil(file, path, 2, kill_after_s=0.5)
    watching.look(100)
    assert watch.step(100) is Order.TERM_GROUP
    assert watch.deadline() == 100.5


def test_one_that_is_being_stopped_keeps_its_reason_and_is_killed_at_the_end(
    file: TrustFile, path: Path
) -> None:
    watching, watch = vigil(file, path, 2, kill_after_s=60)
    watch.stop("asked", 99)
    assert watch.step(99) is Order.TERM_GROUP
    watching.look(100)
    assert watch.step(100) is None
    file.end()
    watching.look(102)
    assert watch.step(102) is Order.KILL_ALL
    assert watch.verdict == Verdict(Outcome.CANCELLED, "asked")


def test_time_to_give_up_is_not_put_off(file: TrustFile, path: Path) -> None:
    watching, watch = vigil(file, path, 0)
    watching.look(100)
    watch.step(100)
    watch.distrust(LOST, 104, 0.0)
    assert watch.step(100 + GIVE_UP_S) is None
    assert watch.phase is Phase.OVER


# With processes


@pytest.fixture
def rig(tmp_path: Path, path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, trust=path)
    yield made
    made.close()


@pytest.mark.parametrize("left_s", [None, -1.0, GRACE_S - 1])
def test_nothing_is_started_without_trust(
    rig: Rig, file: TrustFile, tmp_path: Path, left_s: float | None
) -> None:
    if left_s is not None:
        file.extend(in_s(left_s))
    witness = tmp_path / "witness"
    end = rig.execute(shell(f"touch {witness}"))
    assert (end.outcome, end.reason, end.counts) == (Outcome.ABANDONED, LOST, False)
    assert end.started_at is None
    assert end.retry_at is not None
    assert not witness.exists()
    # The worker is there for the next one.
    file.extend(in_s(60))
    assert rig.execute(shell("true")).outcome is Outcome.SUCCESS


def test_commands_and_callables_take_turns_in_a_worker_with_a_warden(
    tmp_path: Path, path: Path, file: TrustFile
) -> None:
    (tmp_path / "job.py").write_text("def f(): print('called')\n")
    file.extend(in_s(100))
    rig = Rig(tmp_path, trust=path, size=1)
    for _ in range(3):
        end = rig.execute(function("job:f", cwd=str(tmp_path)))
        assert (end.outcome, end.survivors) == (Outcome.SUCCESS, ())
        assert rig.execute(shell("true")).outcome is Outcome.SUCCESS
    assert len(set(rig.workers.values())) == 1
    rig.close()


def test_callable_that_heeds_the_call_ends_by_itself(rig: Rig, file: TrustFile, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("import time\ndef f(): print('begun', flush=True); time.sleep(300)\n")
    file.extend(in_s(60))
    started = rig.started(function("job:f", cwd=str(tmp_path)))
    rig.wait_for_line(started.key, "begun")
    file.extend(in_s(2.5))
    end = rig.end_of(started.key)
    assert (end.outcome, end.reason) == (Outcome.ABANDONED, LOST)
    assert not rig.lost  # its worker lives
    assert is_running(started.pid)


def test_command_of_a_killed_worker_is_killed_by_the_pool(rig: Rig, file: TrustFile) -> None:
    file.extend(in_s(60))
    started = rig.started(shell("sleep 300"))
    os.kill(rig.worker_pid(), signal.SIGKILL)
    rig.wait(lambda: rig.lost)
    assert is_running(started.pid)
    file.end()
    end = rig.end_of(started.key)
    assert (end.outcome, end.reason) == (Outcome.ABANDONED, LOST)
    assert not is_running(started.pid)


def test_command_of_a_hung_worker_is_killed_with_it(rig: Rig, file: TrustFile) -> None:
    file.extend(in_s(60))
    started = rig.started(shell("sleep 300"))
    os.kill(rig.worker_pid(), signal.SIGSTOP)
    file.end()
    end = rig.end_of(started.key)
    assert (end.outcome, end.reason) == (Outcome.ABANDONED, LOST)
    assert not is_running(started.pid)
    assert rig.lost


def test_callable_of_a_hung_worker_is_killed_with_it(rig: Rig, file: TrustFile, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("import subprocess\ndef f(): subprocess.run(['sleep', '300'])\n")
    file.extend(in_s(60))
    started = rig.started(function("job:f", cwd=str(tmp_path)))
    rig.wait(lambda: kernel.descendants_of(started.pid))
    below = kernel.descendants_of(started.pid)
    os.kill(started.pid, signal.SIGSTOP)
    file.end()
    end = rig.end_of(started.key)
    assert (end.outcome, end.reason) == (Outcome.ABANDONED, LOST)
    assert not any(is_running(pid) for pid in [started.pid, *below])


def test_warden_that_was_killed_is_replaced(tmp_path: Path, path: Path, file: TrustFile) -> None:
    (tmp_path / "job.py").write_text("def f(): pass\ndef g():\n  while True: pass\n")
    file.extend(in_s(100))
    rig = Rig(tmp_path, trust=path, size=1)
    others = set(kernel.children_of(os.getpid()))  # a server of other tests, for one
    assert rig.execute(function("job:f", cwd=str(tmp_path))).outcome is Outcome.SUCCESS
    new = set(kernel.children_of(os.getpid())) - others
    (warden,) = [pid for pid in new if os.getsid(pid) != os.getsid(0)]
    os.kill(warden, signal.SIGKILL)
    rig.wait(lambda: not is_running(warden))
    started = rig.started(function("job:g", cwd=str(tmp_path)))
    file.end()
    assert rig.end_of(started.key).reason == LOST
    rig.close()
