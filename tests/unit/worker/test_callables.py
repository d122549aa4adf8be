"""Python callables, executed in real workers."""

from __future__ import annotations

import os
import signal
import textwrap
from pathlib import Path

import pytest

from cronq.model import Definition, OnCrash, Outcome
from cronq.worker import kernel
from tests.unit.worker.rig import Rig, function, is_running

FUNCTIONS = """
    import os, signal, subprocess, sys, threading, time

    def nothing(): pass
    def say(*words, end="!"): print(*words, end=end); sys.stderr.write("err")
    def fail(): raise ValueError("no\\nsecond line")
    def leave(code): sys.exit(code)
    def hard_exit(code): os._exit(code)
    def sleep(): print("ready", flush=True); time.sleep(60)
    def tidy():
        try: sleep()
        finally: print("tidied")
    def stubborn():
        print("ready", flush=True)
        while True:
            try: time.sleep(60)
            except BaseException: pass
    def crash(number): os.kill(os.getpid(), number)
    def show(): print(os.getcwd(), os.environ["CRONQ_JOB"], os.environ.get("EXTRA"), sys.stdin.read())
    def leak(): os.environ["LEAK"] = "1"; sys.path.append("/leak"); os.chdir("/usr")
    def look(): print(os.environ.get("LEAK"), "/leak" in sys.path, os.getcwd())
    def child(): print(subprocess.Popen(["sleep", "60"]).pid)
    def thread(): threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); print(os.getpid())
    def pid(): print(os.getpid())
    def fork():
        pid = os.fork()
        if pid == 0:
            os.setsid(); time.sleep(60); os._exit(0)
        print(pid); sleep()
    def system(): os.system("echo from a child")
    async def coroutine(): pass
    def unpicklable(): return lambda: None
    no_function = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    made.mkdir()
    (made / "functions.py").write_text(textwrap.dedent(FUNCTIONS))
    return made


@pytest.fixture
def call(folder: Path) -> _Call:
    return _Call(folder)


class _Call:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str, args: str = "", **values: object) -> Definition:
        return function(f"functions:{name}", args, cwd=str(self.folder), **values)


def test_callable_that_returns_is_a_success(rig: Rig, call: _Call) -> None:
    end = rig.execute(call("nothing"))
    assert (end.outcome, end.exit_code, end.reason) == (Outcome.SUCCESS, 0, "")
    assert end.usage is not None
    assert end.usage.max_rss > 1_000_000
    assert end.pid == rig.pool.pids()[0]


def test_row_unpicklable_result_is_a_success(rig: Rig, call: _Call) -> None:
    # What a callable returns never leaves its process.
    assert rig.execute(call("unpicklable")).outcome is Outcome.SUCCESS


@pytest.mark.parametrize(
    ("args", "expected"), [('["a", 1]', "a 1!"), ('{"end": "?"}', "?"), ("", "!")], ids=["list", "object", ""]
)
def test_arguments_come_from_json(rig: Rig, call: _Call, args: str, expected: str) -> None:
    end = rig.execute(call("say", args))
    assert sorted(rig.log(end.key)) == sorted(expected + "err")


@pytest.mark.parametrize(
    ("name", "args", "reason"),
    [
        ("fail", "", "exception: ValueError: no"),
        ("say", '{"bad": 1}', "exception: TypeError: say() got an unexpected keyword argument 'bad'"),
        ("say", "[1", "spawn_error: JSONDecodeError: Expecting ',' delimiter: line 1 column 3 (char 2)"),
        ("say", "3", "spawn_error: TypeError: the arguments are neither a list nor an object"),
        ("none", "", "spawn_error: AttributeError: module 'functions' has no attribute 'none'"),
        ("no_function", "", "spawn_error: TypeError: functions:no_function is not callable"),
        ("coroutine", "", "exception: TypeError: it returned a coroutine, which nobody awaits"),
    ],
)
def test_error_is_a_failure_with_a_traceback(
    rig: Rig, call: _Call, name: str, args: str, reason: str
) -> None:
    end = rig.execute(call(name, args))
    assert (end.outcome, end.reason) == (Outcome.FAILURE, reason)
    assert "Traceback" in rig.log(end.key)


def test_module_that_does_not_exist_cannot_be_started(rig: Rig) -> None:
    end = rig.execute(function("no_such_module:f"))
    assert end.reason == "spawn_error: ModuleNotFoundError: No module named 'no_such_module'"


@pytest.mark.parametrize(
    ("args", "outcome", "code"),
    [("[3]", Outcome.FAILURE, 3), ("[null]", Outcome.SUCCESS, 0), ('["bye"]', Outcome.FAILURE, 1)],
)
def test_exit_has_its_code(rig: Rig, call: _Call, args: str, outcome: Outcome, code: int) -> None:
    end = rig.execute(call("leave", args))
    assert (end.outcome, end.exit_code) == (outcome, code)


def test_surroundings_are_those_of_the_job(rig: Rig, call: _Call, folder: Path) -> None:
    (folder / "in.txt").write_text("input")
    end = rig.execute(call("show", env=(("EXTRA", "x"),), stdin="in.txt"))
    assert rig.log(end.key) == f"{folder} job x input\n"


def test_next_callable_sees_nothing_of_the_one_before(tmp_path: Path, call: _Call, folder: Path) -> None:
    rig = Rig(tmp_path, size=1)
    rig.execute(call("leak"))
    end = rig.execute(call("look"))
    assert rig.log(end.key) == f"None False {folder}\n"
    rig.close()


def test_edited_module_is_imported_again(tmp_path: Path, folder: Path) -> None:
    rig = Rig(tmp_path, size=1)
    module = folder / "changing.py"
    what = function("changing:f", cwd=str(folder))
    for number in (1, 2):
        module.write_text(f"def f(): print({number})\n")
        os.utime(module, (number, number))
        assert rig.log(rig.execute(what).key) == f"{number}\n"
    rig.close()


def test_modules_of_one_name_in_two_directories_are_told_apart(tmp_path: Path) -> None:
    rig = Rig(tmp_path, size=1)
    for name in ("one", "two", "one"):
        directory = tmp_path / name
        directory.mkdir(exist_ok=True)
        (directory / "tasks.py").write_text(f"def f(): print('{name}')\n")
        end = rig.execute(function("tasks:f", cwd=str(directory)))
        assert rig.log(end.key) == f"{name}\n"
    rig.close()


def test_output_of_processes_that_it_starts_is_kept(rig: Rig, call: _Call) -> None:
    assert rig.log(rig.execute(call("system")).key) == "from a child\n"


def test_callable_that_lasts_too_long_is_a_timeout(rig: Rig, call: _Call) -> None:
    pids = rig.pool.pids()
    end = rig.execute(call("tidy", timeout_s=0.3))
    assert (end.outcome, end.reason) == (Outcome.TIMEOUT, "timeout 0.3s")
    assert rig.log(end.key) == "ready\ntidied\n"
    assert rig.pool.pids()[: len(pids)] == pids
    assert rig.lost == []


def test_callable_is_stopped_on_request(rig: Rig, call: _Call) -> None:
    start = rig.started(call("tidy"))
    rig.wait_for_line(start.key, "ready")
    rig.pool.stop(start.key, "asked by ada")
    end = rig.end_of(start.key)
    assert (end.outcome, end.reason) == (Outcome.CANCELLED, "asked by ada")
    assert rig.log(start.key) == "ready\ntidied\n"
    assert rig.lost == []


def test_stop_right_after_the_claim_is_not_lost(rig: Rig, call: _Call) -> None:
    key = rig.begin(call("sleep"))
    rig.pool.stop(key, "at once")
    assert rig.end_of(key).reason == "at once"


@pytest.mark.parametrize("by", ["timeout", "stop", "kill"])
def test_callable_that_does_not_stop_costs_its_worker(rig: Rig, call: _Call, by: str) -> None:
    start = rig.started(call("stubborn", timeout_s=0.2 if by == "timeout" else None, kill_after_s=0.1))
    rig.wait_for_line(start.key, "ready")
    if by == "stop":
        rig.pool.stop(start.key, "enough")
    elif by == "kill":
        rig.pool.kill(start.key)
    end = rig.end_of(start.key)
    expected = {
        "timeout": (Outcome.TIMEOUT, "timeout 0.2s"),
        "stop": (Outcome.CANCELLED, "enough"),
        "kill": (Outcome.CANCELLED, "killed"),
    }
    assert (end.outcome, end.reason) == expected[by]
    assert [lost.key for lost in rig.lost] == [start.key]
    assert rig.execute(call("nothing")).outcome is Outcome.SUCCESS


@pytest.mark.parametrize(
    ("name", "args", "reason"),
    [("crash", f"[{int(signal.SIGSEGV)}]", "signal 11 (SEGV)"), ("hard_exit", "[7]", "exit 7")],
)
def test_row_python_job_segfaults_and_costs_only_its_attempt(
    rig: Rig, call: _Call, name: str, args: str, reason: str
) -> None:
    other = rig.started(call("sleep"))
    end = rig.execute(call(name, args))
    assert (end.outcome, end.reason) == (Outcome.FAILURE, reason)
    assert is_running(other.pid)
    assert rig.execute(call("nothing")).outcome is Outcome.SUCCESS


def test_killed_worker_ends_a_callable_as_abandoned(rig: Rig, call: _Call) -> None:
    start = rig.started(call("sleep", on_crash=OnCrash.RERUN))
    os.kill(start.pid, signal.SIGKILL)
    end = rig.end_of(start.key)
    assert (end.outcome, end.reason, end.counts) == (Outcome.ABANDONED, "worker killed", False)
    assert end.retry_at is not None


def test_processes_that_it_left_are_ended(rig: Rig, call: _Call) -> None:
    end = rig.execute(call("child"))
    assert end.outcome is Outcome.SUCCESS
    assert not is_running(int(rig.log(end.key)))


def test_fork_of_a_callable_does_not_hide_the_death_of_its_worker(rig: Rig, call: _Call) -> None:
    start = rig.started(call("fork"))
    rig.wait_for_line(start.key, "ready")
    os.kill(start.pid, signal.SIGKILL)
    assert rig.end_of(start.key).reason == "worker killed"
    fork = int(rig.log(start.key).splitlines()[0])
    rig.wait(lambda: kernel.process_info(fork) is None)


def test_worker_with_a_thread_left_behind_is_replaced(rig: Rig, call: _Call) -> None:
    first = rig.execute(call("thread"))
    soiled = int(rig.log(first.key))
    rig.wait(lambda: soiled not in rig.pool.pids())
    assert rig.lost == []
    second = rig.execute(call("pid"))
    assert int(rig.log(second.key)) != soiled


def test_worker_that_has_executed_many_attempts_is_replaced(tmp_path: Path, call: _Call) -> None:
    rig = Rig(tmp_path, size=1, most_attempts=3)
    pids = [rig.log(rig.execute(call("pid")).key).strip() for _ in range(7)]
    rig.close()
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]
    assert rig.lost == []


def test_error_of_our_own_before_the_start_does_not_fell_the_worker(rig: Rig, call: _Call) -> None:
    end = rig.execute(call("nothing", env=(("A", 1),)))
    assert end.outcome is Outcome.FAILURE
    assert end.reason.startswith("internal_error: TypeError: ")
    assert rig.execute(call("look")).outcome is Outcome.SUCCESS
    assert rig.lost == []
