"""The pool: how many workers there are, and what happens when one of them dies."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from cronq import clock
from cronq.errors import InvariantError
from cronq.model import OnCrash, Outcome
from cronq.worker import guard, kernel, pool, slot
from cronq.worker.attempt import CommandAttempt
from cronq.worker.endings import Begun
from cronq.worker.inherited import InheritedCommand
from cronq.worker.liveness import AttemptLock, Hint
from cronq.worker.oom import KillCounter
from cronq.worker.spool import Spool
from tests.unit.worker.rig import Rig, claim_of, definition, is_running, open_files_limited, shell


def test_one_worker_is_warm_after_the_start(rig: Rig) -> None:
    rig.wait(rig.pool.idle)
    assert len(rig.pool.pids()) == 1
    assert (rig.pool.busy, rig.pool.capacity) == (0, 4)


def test_workers_start_on_demand_two_at_a_time_up_to_the_size(rig: Rig) -> None:
    rig.wait(rig.pool.idle)
    rig.pool.want(100)
    assert len(rig.pool.pids()) == 3
    rig.wait(lambda: len(rig.pool.idle()) == 4)
    rig.pool.poll()
    assert len(rig.pool.pids()) == 4


def test_a_spare_starts_when_all_are_busy(rig: Rig) -> None:
    rig.started(shell("sleep 60"))
    rig.wait(rig.pool.idle)
    assert (len(rig.pool.pids()), rig.pool.busy, rig.pool.capacity) == (2, 1, 3)


def test_idle_workers_leave_but_one(tmp_path: Path) -> None:
    rig = Rig(tmp_path, size=4, idle_s=0.1)
    rig.pool.want(4)
    rig.wait(lambda: len(rig.pool.pids()) == 4)
    rig.pool.want(0)
    rig.wait(lambda: len(rig.pool.pids()) == 1)
    assert rig.lost == []
    assert rig.pool.deadline() is None
    assert len(list(rig.place.attempts.glob("*.worker"))) == 1
    rig.close()


def test_pool_makes_room_for_its_descriptors_and_commands_get_what_there_was(tmp_path: Path) -> None:
    with open_files_limited(300):
        rig = Rig(tmp_path, size=20)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 376
        end = rig.execute(shell("ulimit -S -n"))
        assert rig.log(end.key) == "300\n"
        rig.close()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 300


def test_pool_without_anything_to_do_needs_no_wake_up(rig: Rig) -> None:
    rig.wait(lambda: rig.pool.idle() and rig.pool.deadline() is None)


def test_claim_for_a_worker_that_is_not_idle_is_refused(rig: Rig) -> None:
    with pytest.raises(InvariantError):
        rig.pool.assign(claim_of(definition("true"), worker="w-0-0-0"))


def test_worker_is_not_idle_before_its_end_is_acknowledged(rig: Rig) -> None:
    rig.acknowledges = False
    end = rig.execute(definition("true"))
    assert rig.pool.in_hand() == []
    assert rig.pool.busy == 1
    rig.pool.acknowledge([end.key])
    assert rig.pool.busy == 0


def test_killed_idle_worker_is_replaced(rig: Rig) -> None:
    rig.wait(rig.pool.idle)
    (pid,) = rig.pool.pids()
    os.kill(pid, signal.SIGKILL)
    rig.wait(lambda: rig.lost and rig.pool.idle())
    assert [(lost.key, lost.exit_code) for lost in rig.lost] == [(None, -9)]
    assert pid not in rig.pool.pids()
    assert rig.execute(definition("true")).outcome is Outcome.SUCCESS
    assert len(list(rig.place.attempts.glob("*.worker"))) == len(rig.pool.pids())


@pytest.mark.parametrize(
    ("last", "outcome", "reason"),
    [("exit 23", Outcome.FAILURE, "exit 23"), ("exit 0", Outcome.SUCCESS, "")],
)
def test_command_of_a_killed_worker_is_adopted_with_its_true_status(
    rig: Rig, tmp_path: Path, last: str, outcome: Outcome, reason: str
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    start = rig.started(shell(f"echo begun; read line <{gate}; echo $line; {last}"))
    rig.wait_for_line(start.key, "begun")
    os.kill(rig.worker_pid(), signal.SIGKILL)
    rig.wait(lambda: rig.lost)
    assert rig.lost[0].key == start.key
    assert is_running(start.pid)
    assert rig.pool.busy == 1
    assert rig.pool.in_hand() == [start.key]
    gate.write_text("ended\n")
    end = rig.end_of(start.key)
    assert (end.outcome, end.reason, end.pid) == (outcome, reason, start.pid)
    assert end.started_at == start.started_at
    assert end.usage is not None
    assert end.usage.max_rss > 0
    assert rig.log(start.key) == "begun\nended\n"
    assert not rig.attempt_lock(start.key).exists()


def test_adopted_command_keeps_its_time_limit(rig: Rig) -> None:
    start = rig.started(
        shell("trap '' TERM; echo begun; sleep 60; sleep 60", timeout_s=0.5, kill_after_s=0.1)
    )
    rig.wait_for_line(start.key, "begun")
    os.kill(rig.worker_pid(), signal.SIGKILL)
    end = rig.end_of(start.key)
    assert (end.outcome, end.reason, end.signal) == (Outcome.TIMEOUT, "timeout 0.5s", 9)


def test_adopted_command_is_stopped_with_all_that_it_started(rig: Rig) -> None:
    start = rig.started(
        shell("setsid sh -c 'trap \"\" TERM; echo $$; sleep 60; sleep 60' & wait", kill_after_s=0.2)
    )
    rig.wait(lambda: rig.log(start.key).strip())
    os.kill(rig.worker_pid(), signal.SIGKILL)
    rig.wait(lambda: rig.lost)
    rig.pool.stop(start.key, "enough")
    end = rig.end_of(start.key)
    assert (end.outcome, end.reason, end.survivors) == (Outcome.CANCELLED, "enough", ())
    assert not is_running(int(rig.log(start.key)))


def test_stop_goes_on_when_the_worker_is_killed_meanwhile(rig: Rig) -> None:
    start = rig.started(shell("trap '' TERM; echo begun; sleep 60; sleep 60", kill_after_s=0.3))
    rig.wait_for_line(start.key, "begun")
    rig.pool.stop(start.key, "enough")
    os.kill(rig.worker_pid(), signal.SIGKILL)
    end = rig.end_of(start.key)
    assert (end.outcome, end.reason) == (Outcome.CANCELLED, "enough")


def test_command_that_ends_together_with_its_worker_is_seen(rig: Rig) -> None:
    start = rig.started(shell("echo begun; read line", stdin="/dev/zero"))
    rig.wait_for_line(start.key, "begun")
    worker = rig.worker_pid()
    os.kill(worker, signal.SIGSTOP)
    os.kill(start.pid, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    end = rig.end_of(start.key)
    assert (end.outcome, end.reason) == (Outcome.FAILURE, "signal 9 (KILL)")


def test_worker_killed_before_it_began_costs_the_run_nothing(rig: Rig) -> None:
    rig.wait(rig.pool.idle)
    os.kill(rig.pool.pids()[0], signal.SIGSTOP)
    key = rig.begin(definition("true"))
    os.kill(rig.worker_pid(), signal.SIGKILL)
    end = rig.end_of(key)
    assert (end.outcome, end.counts, end.started_at) == (Outcome.ABANDONED, False, None)
    assert end.retry_at == end.finished_at


def test_end_of_a_worker_that_died_unacknowledged_is_kept(rig: Rig) -> None:
    rig.acknowledges = False
    end = rig.execute(definition("true"))
    os.kill(rig.worker_pid(), signal.SIGKILL)
    rig.wait(lambda: rig.lost)
    rig.pool.acknowledge([end.key])
    assert not rig.attempt_lock(end.key).exists()


def test_death_of_the_fork_server_harms_nobody(rig: Rig, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    start = rig.started(shell(f"read line <{gate}; exit 3"))
    rig.wait(rig.pool.idle)
    parent = kernel.process_info(rig.worker_pid())
    assert parent is not None
    os.kill(parent.parent, signal.SIGKILL)
    gate.write_text("go\n")
    assert rig.end_of(start.key).exit_code == 3
    rig.pool.want(4)
    rig.wait(lambda: len(rig.pool.idle()) == 4)
    assert rig.execute(definition("true")).outcome is Outcome.SUCCESS


def test_orphans_are_reaped(rig: Rig) -> None:
    start = rig.started(shell("setsid sleep 60 & echo $!; sleep 60", kill_after_s=0.1))
    rig.wait(lambda: rig.log(start.key).strip())
    orphan = int(rig.log(start.key))
    os.kill(rig.worker_pid(), signal.SIGKILL)
    rig.wait(lambda: rig.lost)
    os.kill(start.pid, signal.SIGKILL)
    rig.end_of(start.key)
    rig.wait(lambda: kernel.process_info(orphan) is None)


def test_abandoned_attempt_follows_the_crash_rule() -> None:
    from cronq.worker import endings

    claim = claim_of(definition("true", on_crash=OnCrash.RERUN))
    end = endings.end_unseen(claim, "worker killed", now=clock.now_us())
    assert end.retry_at is not None
    assert not end.counts


def test_callable_is_not_taken_for_a_command(rig: Rig) -> None:
    from tests.unit.worker.rig import function

    with pytest.raises(TypeError):
        CommandAttempt(
            claim_of(function("a:b")),
            rig.place,
            lock=AttemptLock(rig.place, "w", ""),
            spool=Spool(rig.place, "w"),
            null=0,
            is_sealed=True,
            inherited={},
            inbox=None,  # type: ignore[arg-type]
            oom=KillCounter(),
        )


def test_worker_that_hangs_is_killed_and_its_command_stopped(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "GIVE_UP_S", 0.1)
    monkeypatch.setattr(guard, "LEFTOVER_GRACE_S", 0.1)
    start = rig.started(shell("echo begun; sleep 60", kill_after_s=0.1))
    rig.wait_for_line(start.key, "begun")
    os.kill(rig.worker_pid(), signal.SIGSTOP)
    rig.pool.stop(start.key, "enough")
    end = rig.end_of(start.key)
    assert (end.outcome, end.reason, end.signal) == (Outcome.CANCELLED, "enough", signal.SIGTERM)
    assert [lost.key for lost in rig.lost] == [start.key]


def test_inherited_command_that_is_not_to_be_found_still_has_its_time_limit(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = rig.started(shell("sleep 60", timeout_s=0.5, kill_after_s=0.2))
    worker = rig.worker_pid()
    with monkeypatch.context() as patch:  # as where there are neither /proc nor sub-reapers
        patch.setattr(kernel, "HAS_PROC", False)
        patch.setattr(kernel, "process_info", lambda _pid: None)
        patch.setattr(kernel, "exists", lambda _pid: False)
        patch.setattr(kernel, "children_of", lambda _pid: [])
        os.kill(worker, signal.SIGKILL)
        end = rig.end_of(start.key)
    assert (end.outcome, end.reason) == (Outcome.TIMEOUT, "timeout 0.5s")
    assert not is_running(start.pid)


def test_what_a_command_left_that_ended_before_its_worker_was_killed_is_ended(rig: Rig) -> None:
    claim = claim_of(shell(""))
    lock = AttemptLock(rig.place, claim.worker, kernel.boot_id())
    lock_fd = lock.take(claim.key)
    # The pool has made this process a sub-reaper, so what the shell leaves is its child at last.
    line = "(trap '' TERM; echo $(exec sh -c 'echo $PPID'); exec sleep 60 >/dev/null) & read x; exit 0"
    with subprocess.Popen(
        ["sh", "-c", line],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(lock_fd,),
        start_new_session=True,
    ) as command:
        assert command.stdout is not None
        left = int(command.stdout.readline())
        begun = Begun(claim.claimed_at, clock.monotonic(), command.pid)
        ticks = kernel.start_ticks(command.pid)
        lock.name(Hint(1, command.pid, ticks, kernel.boot_id(), begun.monotonic, claim.key))
        os.close(lock_fd)
        command.communicate(b"\n")
    adoption = InheritedCommand(claim, begun, rig.place, rig.clock, KillCounter())
    rig.pool._adopt(adoption)
    end = rig.end_of(claim.key)
    assert (end.outcome, end.reason) == (Outcome.ABANDONED, "worker killed")
    assert not is_running(left)


def test_workers_that_cannot_be_started_are_told_once_and_so_is_their_return(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.wait(rig.pool.idle)
    fails = 0

    def fail(_setup: object, _tickets: object) -> None:
        nonlocal fails
        fails += 1
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(pool, "launch", fail)
    rig.pool.want(3)
    rig.wait(lambda: fails >= 5)
    assert [trouble.message for trouble in rig.troubles] == [
        "no worker can be started (EAGAIN Resource temporarily unavailable): what is queued waits"
    ]
    monkeypatch.undo()
    rig.wait(lambda: len(rig.pool.idle()) > 1)
    rig.wait(lambda: len(rig.troubles) > 1)
    assert rig.troubles[1].message == "workers can be started again"


def test_no_more_workers_are_started_while_quick_attempts_follow_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "processors", lambda: 1)
    monkeypatch.setattr(slot, "_BRISK_S", 1000.0)
    rig = Rig(tmp_path, size=6)
    rig.pool.want(2)
    rig.wait(lambda: len(rig.pool.idle()) == 2)
    keys = []
    for number, name in enumerate(rig.pool.idle(), start=1):
        claim = claim_of(definition("true"), number, name)
        rig.workers[claim.key] = name
        rig.pool.assign(claim)
        keys.append(claim.key)
    for key in keys:
        rig.end_of(key)
    rig.wait(lambda: len(rig.pool.idle()) == len(rig.pool.pids()))  # one more was started as a spare
    count = len(rig.pool.pids())
    rig.pool.want(6)
    rig.turn(clock.monotonic())
    assert len(rig.pool.pids()) == count < 6
    # Of those that are not quick after all, nobody waits for the end.
    for number, name in enumerate(rig.pool.idle(), start=11):
        rig.pool.assign(claim_of(definition("sleep", "60"), number, name))
    rig.pool.want(6)
    rig.wait(lambda: len(rig.pool.pids()) == 6)
    rig.close()
