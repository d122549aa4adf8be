"""Commands executed by real workers: how they end, what they see, and what is left of them."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import pytest

from cronq import clock
from cronq.model import SECOND, Outcome
from cronq.worker import liveness
from cronq.worker.spool import log_now, spool_file
from tests.unit.worker.rig import PATIENCE_S, Rig, definition, function, is_running, shell


def test_command_that_returns_zero_is_a_success_with_its_usage(rig: Rig) -> None:
    end = rig.execute(shell("echo out; echo err >&2"))
    assert (end.outcome, end.reason, end.exit_code, end.signal) == (Outcome.SUCCESS, "", 0, None)
    assert end.usage is not None
    assert end.usage.duration_s > 0
    assert end.usage.max_rss > 100_000
    assert end.started_at is not None
    assert end.started_at <= end.finished_at
    assert end.pid == rig.starts[end.key].pid
    assert rig.log(end.key) == "out\nerr\n"


@pytest.mark.parametrize(
    ("line", "codes", "outcome", "reason"),
    [
        ("exit 23", (0,), Outcome.FAILURE, "exit 23"),
        ("exit 23", (0, 23), Outcome.SUCCESS, ""),
        ("exit 0", (1,), Outcome.FAILURE, "exit 0"),
        ("kill -9 $$", (0,), Outcome.FAILURE, "signal 9 (KILL)"),
        ("kill -TERM $$", (0,), Outcome.FAILURE, "signal 15 (TERM)"),
    ],
)
def test_exit_status_decides_the_outcome(
    rig: Rig, line: str, codes: tuple[int, ...], outcome: Outcome, reason: str
) -> None:
    end = rig.execute(shell(line, success_codes=codes))
    assert (end.outcome, end.reason) == (outcome, reason)


def test_failed_attempt_with_retries_left_goes_back_to_the_queue(rig: Rig) -> None:
    end = rig.execute(shell("exit 1", retries=1, retry_delay_s=10, retry_jitter=0))
    assert end.retry_at == end.finished_at + 10 * SECOND
    assert end.counts


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("no-such-command",), "spawn_error: ENOENT No such file or directory: no-such-command"),
        (("/etc/passwd",), "spawn_error: EACCES Permission denied: /etc/passwd"),
        (("true", "nul\0l"), "spawn_error: embedded null byte"),
    ],
)
def test_command_that_cannot_be_started_is_a_failure(rig: Rig, words: tuple[str, ...], reason: str) -> None:
    end = rig.execute(definition(*words))
    assert (end.outcome, end.reason, end.started_at) == (Outcome.FAILURE, reason, None)
    assert end.key not in rig.starts


def test_missing_directory_is_named_in_the_reason(rig: Rig) -> None:
    end = rig.execute(definition("true", cwd="/no/such"))
    assert end.reason == "spawn_error: ENOENT No such file or directory: /no/such"


def test_program_is_looked_up_on_the_path_of_the_job(rig: Rig, tmp_path: Path) -> None:
    program = tmp_path / "greet"
    program.write_text("#!/bin/sh\necho greetings\n")
    program.chmod(0o755)
    end = rig.execute(definition("greet", path=str(tmp_path)))
    assert rig.log(end.key) == "greetings\n"


def test_directory_environment_and_standard_input_are_those_of_the_job(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("hello\n")
    (tmp_path / "vars").write_text("FROM_FILE='a b'\nBOTH=file\n")
    what = shell(
        'cat; pwd; echo "$FROM_FILE $BOTH $CRONQ_JOB $CRONQ_RUN_ID.$CRONQ_ATTEMPT $CRONQ_TRIGGER"',
        cwd=str(tmp_path),
        stdin="in.txt",
        env=(("BOTH", "own"),),
        env_file="vars",
    )
    end = rig.execute(what)
    assert rig.log(end.key) == f"hello\n{tmp_path}\na b own job 1.1 manual\n"


def test_broken_environment_file_is_a_failure(rig: Rig, tmp_path: Path) -> None:
    end = rig.execute(shell("true", env_file=str(tmp_path / "none")))
    assert end.outcome is Outcome.FAILURE
    assert end.reason.startswith("env_error: ENOENT ")


def test_command_inherits_nothing_but_the_lock(rig: Rig) -> None:
    end = rig.execute(shell("ls /proc/self/fd | wc -l; cat /proc/self/status"))
    lines = rig.log(end.key).splitlines()
    # 0, 1, 2, the lock, and the directory that ls reads
    assert lines[0].strip() == "5"
    status = dict(line.split(":", 1) for line in lines[1:])
    # 32 and 33 are the C library's own, and posix_spawn leaves them ignored.
    assert int(status["SigIgn"], 16) & ~0x180000000 == 0
    assert int(status["SigBlk"], 16) == 0


def test_command_leads_its_own_session(rig: Rig) -> None:
    end = rig.execute(shell("cat /proc/self/stat"))
    fields = rig.log(end.key).split()
    assert fields[5] == str(end.pid)


def test_files_and_folders_are_private(rig: Rig) -> None:
    start = rig.started(shell("echo x; sleep 60"))
    rig.wait_for_line(start.key, "x")
    log = log_now(rig.place, start.key, rig.workers[start.key])
    lock = rig.attempt_lock(start.key)
    for path, mode in ((log, 0o600), (lock, 0o600), (log.parent, 0o700), (lock.parent, 0o700)):
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_planted_log_file_is_not_followed(rig: Rig, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    log = rig.place.log_file(1, 1)
    log.parent.mkdir(parents=True)
    log.symlink_to(victim)
    end = rig.execute(shell("echo x"))
    assert end.outcome is Outcome.SUCCESS
    assert victim.read_text() == "precious"
    assert rig.log(end.key) == "x\n"
    assert not log.is_symlink()


def test_planted_spool_is_not_followed(rig: Rig, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    rig.wait(rig.pool.idle)
    spool = spool_file(rig.place, rig.pool.idle()[0])
    spool.parent.mkdir(parents=True, exist_ok=True)
    spool.symlink_to(victim)
    end = rig.execute(shell("echo x"))
    assert end.outcome is Outcome.FAILURE
    assert end.reason.startswith("spawn_error: ELOOP")
    assert victim.read_text() == "precious"


def test_attempt_that_lasts_too_long_is_a_timeout(rig: Rig) -> None:
    end = rig.execute(shell("sleep 60", timeout_s=0.1))
    assert (end.outcome, end.reason, end.signal) == (Outcome.TIMEOUT, "timeout 0.1s", signal.SIGTERM)


def test_attempt_is_stopped_on_request(rig: Rig) -> None:
    start = rig.started(shell("sleep 60", retries=3))
    rig.pool.stop(start.key, "asked by ada")
    rig.pool.stop(start.key, "again")
    end = rig.end_of(start.key)
    assert (end.outcome, end.reason, end.retry_at) == (Outcome.CANCELLED, "asked by ada", None)


def test_stop_right_after_the_claim_is_not_lost(rig: Rig) -> None:
    key = rig.begin(shell("sleep 60"))
    rig.pool.stop(key, "at once")
    assert rig.end_of(key).reason == "at once"


def test_row_job_ignores_sigterm_and_is_killed(rig: Rig) -> None:
    start = rig.started(shell("trap '' TERM; echo ready; sleep 60 & wait; sleep 60", kill_after_s=0.2))
    rig.wait_for_line(start.key, "ready")
    rig.pool.stop(start.key, "enough")
    end = rig.end_of(start.key)
    assert (end.outcome, end.signal, end.survivors) == (Outcome.CANCELLED, signal.SIGKILL, ())


def test_command_may_finish_in_order_after_term(rig: Rig) -> None:
    start = rig.started(shell("trap 'echo tidy; exit 0' TERM; echo ready; sleep 60 & wait"))
    rig.wait_for_line(start.key, "ready")
    rig.pool.stop(start.key, "enough")
    end = rig.end_of(start.key)
    assert (end.outcome, end.exit_code) == (Outcome.CANCELLED, 0)
    assert rig.log(start.key) == "ready\ntidy\n"


def test_kill_does_not_wait_for_the_grace(rig: Rig) -> None:
    start = rig.started(shell("trap '' TERM; echo ready; sleep 60 & wait; sleep 60", kill_after_s=60))
    rig.wait_for_line(start.key, "ready")
    rig.pool.stop(start.key, "shutdown")
    rig.pool.kill(start.key)
    end = rig.end_of(start.key)
    assert (end.outcome, end.reason, end.signal) == (Outcome.CANCELLED, "shutdown", signal.SIGKILL)


def test_stopped_process_is_ended_too(rig: Rig) -> None:
    start = rig.started(shell("echo ready; kill -STOP $$; sleep 60"))
    rig.wait_for_line(start.key, "ready")
    rig.pool.stop(start.key, "enough")
    assert rig.end_of(start.key).signal == signal.SIGTERM


DAEMON = (
    "import os, sys, time\n"
    "if os.fork(): os._exit(0)\n"
    "os.setsid()\n"
    "if os.fork(): os._exit(0)\n"
    "os.close(0)\n"
    "{trap}"
    "print(os.getpid(), flush=True)\n"
    "time.sleep(60)\n"
)
IGNORES_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


@pytest.mark.parametrize("trap", ["", IGNORES_TERM], ids=["obeys", "ignores TERM"])
def test_row_job_forks_a_daemon_that_is_ended_with_it(rig: Rig, trap: str) -> None:
    daemon = DAEMON.format(trap=trap)
    start = rig.started(
        shell('python3 -c "$CODE"; until test -s "$LOG"; do :; done; exit 4', env=_env(daemon))
    )
    end = rig.end_of(start.key)
    assert (end.outcome, end.exit_code, end.survivors) == (Outcome.FAILURE, 4, ())
    assert not is_running(int(rig.log(start.key)))


def test_daemon_is_stopped_with_its_command(rig: Rig) -> None:
    code = DAEMON.format(trap=IGNORES_TERM)
    start = rig.started(shell('python3 -c "$CODE"; sleep 60', env=_env(code), kill_after_s=0.2))
    rig.wait(lambda: rig.log(start.key).strip())
    rig.pool.stop(start.key, "enough")
    end = rig.end_of(start.key)
    assert (end.outcome, end.survivors) == (Outcome.CANCELLED, ())
    assert not is_running(int(rig.log(start.key)))


def _env(code: str) -> tuple[tuple[str, str], ...]:
    return (("CODE", code), ("LOG", "/proc/self/fd/1"))


def test_row_job_closes_stdout_but_a_grandchild_holds_it(rig: Rig) -> None:
    end = rig.execute(shell("sleep 60 & exit 5"))
    assert end.exit_code == 5
    assert end.usage is not None
    assert end.usage.duration_s < 5


def test_row_job_closes_stdout_and_is_waited_for(rig: Rig) -> None:
    end = rig.execute(shell("exec >&- 2>&-; sleep 0.2; exit 6"))
    assert end.exit_code == 6


def test_files_of_a_worker_go_with_it(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.acknowledges = False
    end = rig.execute(shell("true"))
    assert liveness.was_started(rig.place, end.key, rig.workers[end.key])
    assert rig.pool.busy == 1
    rig.pool.acknowledge([end.key])
    assert rig.pool.busy == 0
    rig.close()
    worker = rig.workers[end.key]
    deadline = clock.monotonic() + PATIENCE_S
    while list(rig.place.attempts.iterdir()):
        assert clock.monotonic() < deadline
        clock.sleep(0.01)
    assert not spool_file(rig.place, worker).exists()


def test_no_process_and_no_descriptor_is_left_after_many_attempts(rig: Rig) -> None:
    rig.pool.want(4)
    rig.wait(lambda: len(rig.pool.idle()) == 4)
    for _ in range(20):
        rig.begin(definition("true"))
    rig.wait(lambda: len(rig.ends) == 20 and rig.pool.busy == 0)
    before = _descriptors([os.getpid(), *rig.pool.pids()])
    workers = sorted(rig.pool.pids())
    for _ in range(500):
        rig.begin(definition("true"))
    rig.wait(lambda: len(rig.ends) == 520 and rig.pool.busy == 0)
    assert all(end.outcome is Outcome.SUCCESS for end in rig.ends.values())
    assert sorted(rig.pool.pids()) == workers
    assert _descriptors([os.getpid(), *rig.pool.pids()]) == before
    assert [pid for worker in workers for pid in _children(worker)] == []


def _descriptors(pids: list[int]) -> dict[int, int]:
    return {pid: len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids}


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_error_of_our_own_before_the_start_does_not_fell_the_worker(rig: Rig) -> None:
    rig.wait(rig.pool.idle)
    workers = rig.pool.pids()
    end = rig.execute(definition("true", env=(("A", 1),)))
    assert (end.outcome, end.started_at, end.counts) == (Outcome.FAILURE, None, True)
    assert end.reason.startswith("internal_error: TypeError: ")
    assert rig.execute(definition("true")).outcome is Outcome.SUCCESS
    assert (rig.pool.pids()[:1], rig.lost) == (workers, [])


def test_input_from_a_fifo_does_not_keep_the_worker_from_its_time_limit(rig: Rig, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert rig.execute(shell("cat; echo done", stdin=str(fifo))).outcome is Outcome.SUCCESS
    writer = os.open(fifo, os.O_RDWR)
    start = rig.started(shell("echo begun; read line; echo $line", stdin=str(fifo)))
    rig.wait_for_line(start.key, "begun")
    os.write(writer, b"hello\n")  # the command waited for it
    assert rig.end_of(start.key).outcome is Outcome.SUCCESS
    assert rig.log(start.key) == "begun\nhello\n"
    assert rig.execute(shell("cat", stdin=str(fifo), timeout_s=0.2)).outcome is Outcome.TIMEOUT
    os.close(writer)


def test_command_is_looked_for_in_the_path_of_the_job(rig: Rig, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("file", "forbidden", "good")]
    for folder in folders:
        folder.mkdir()
    (folders[1] / "tool").write_text("#!/bin/sh\necho forbidden\n")
    (folders[2] / "tool").write_text("#!/bin/sh\necho good\n")
    (folders[2] / "tool").chmod(0o755)
    path = ":".join(["/nowhere", *map(str, folders)])
    end = rig.execute(definition("tool", path=path))
    assert (end.outcome, rig.log(end.key)) == (Outcome.SUCCESS, "good\n")
    refused = rig.execute(definition("tool", path=str(folders[1])))
    assert refused.outcome is Outcome.FAILURE
    assert refused.reason.startswith("spawn_error: EACCES")
    missing = rig.execute(definition("tool", path=str(folders[0])))
    assert missing.outcome is Outcome.FAILURE
    assert missing.reason.startswith("spawn_error: ENOENT")


def test_command_is_started_the_same_after_a_callable(rig: Rig) -> None:
    worker = rig.workers[rig.execute(definition("true")).key]
    rig.execute(function("os:getpid"))
    end = rig.execute(shell("ls /proc/self/fd | wc -l; pwd; ps -o sid= -p $$", cwd="/usr"))
    count, folder, session = rig.log(end.key).split()
    assert (count, folder, int(session)) == ("5", "/usr", end.pid)
    assert rig.workers[end.key] == worker
