"""Limits of a command: they hold from its first instruction, cannot be taken back, and say why they fail."""

from __future__ import annotations

import os
import pwd
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq.model import Outcome
from cronq.worker import confine
from cronq.worker.accounts import AccountError, account_of, trouble_with
from cronq.worker.confine import ConfinementError, confinement_of
from cronq.worker.foreground import run_foreground
from tests.unit.worker.rig import Rig, definition, shell

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits are those of Linux")
OTHER = "nobody"


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that other users can enter; those above pytest's own are closed to them."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_command_without_limits_is_started_as_ever() -> None:
    assert confinement_of(definition("true")) is None
    assert confinement_of(definition("true", umask="077")) is None


def test_row_limits_of_the_job_are_hard_ones(rig: Rig) -> None:
    line = "ulimit -Hn; ulimit -Sn; ulimit -Hd; ulimit -St; ulimit -Ht; nice; umask"
    what = shell(line, open_files=32, memory=256 * 1024**2, cpu_time_s=30.0, nice=os.nice(0) + 3, umask="027")
    end = rig.execute(what)
    said = ["32", "32", str(256 * 1024), "30", "31", str(os.nice(0) + 3), "0027"]
    assert rig.log(end.key).split() == said


def test_a_limited_job_leaves_the_worker_as_it_was(rig: Rig) -> None:
    rig.execute(shell("true", open_files=32, nice=os.nice(0) + 3, umask="077"))
    end = rig.execute(shell("ulimit -Hn; nice; umask"))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    mask = os.umask(0o022)
    os.umask(mask)
    assert rig.log(end.key).split() == [str(hard), str(os.nice(0)), f"{mask:04o}"]


def test_a_missing_program_is_still_told_from_one_that_fails(rig: Rig) -> None:
    limits = {"open_files": 32, "memory": 256 * 1024**2}
    end = rig.execute(definition("no-such-command", **limits))
    assert end.reason == "spawn_error: ENOENT No such file or directory: no-such-command"
    end = rig.execute(definition("true", cwd="/no/such", **limits))
    assert end.reason == "spawn_error: ENOENT No such file or directory: /no/such"
    assert rig.execute(shell("exit 127", **limits)).reason == "exit 127"


def test_row_memory_beyond_the_limit_is_an_error_of_the_program(rig: Rig) -> None:
    code = "x = bytearray(200 << 20)"
    end = rig.execute(definition(sys.executable, "-c", code, memory=64 * 1024**2))
    assert (end.outcome, end.reason) == (Outcome.FAILURE, "exit 1")
    assert "MemoryError" in rig.log(end.key)
    assert (
        rig.execute(definition(sys.executable, "-c", code, memory=512 * 1024**2)).outcome is Outcome.SUCCESS
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("exec {python} -c 'while True: pass'", "cpu time 1s used up (signal 24)"),
        ("{python} -c 'while True: pass'; exit $?", "cpu time 1s used up (exit 152)"),
        (
            "exec {python} -c 'import signal; signal.signal(24, signal.SIG_IGN)\nwhile True: pass'",
            "signal 9 (KILL), probably cpu time 1s used up",
        ),
    ],
    ids=["told", "in a shell", "ignores it"],
)
def test_row_cpu_time_beyond_the_limit_ends_the_command_and_is_the_reason(
    rig: Rig, line: str, reason: str
) -> None:
    end = rig.execute(shell(line.format(python=sys.executable), cpu_time_s=1.0))
    assert (end.outcome, end.reason) == (Outcome.FAILURE, reason)


def test_a_kill_before_the_processor_time_is_used_up_is_only_that(rig: Rig) -> None:
    assert rig.execute(shell("kill -9 $$", cpu_time_s=600.0)).reason == "signal 9 (KILL)"


def test_a_limit_that_the_kernel_refuses_ends_the_attempt_and_says_which(rig: Rig) -> None:
    beyond = int(Path("/proc/sys/fs/nr_open").read_text()) + 1
    end = rig.execute(shell("true", open_files=beyond))
    assert end.outcome is Outcome.FAILURE
    assert end.reason.startswith(f"limit_error: open-files {beyond}")
    assert end.started_at is None


def test_a_limit_above_the_hard_one_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    with pytest.raises(ConfinementError, match="open-files 65 is over the scheduler's own hard limit, 64"):
        confinement_of(definition("true", open_files=65))
    held = confinement_of(definition("true", open_files=64))
    assert held is not None
    assert held.limits[0].hard == 64


def test_a_niceness_that_is_not_allowed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    held = confinement_of(shell("true", nice=5))
    assert held is not None

    def refuse(*_: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "setpriority", refuse)
    with pytest.raises(ConfinementError) as caught:
        confine.start_process(shell("true"), held, env={}, stdin=None)
    assert str(caught.value) == "nice 5: EACCES Permission denied"


def test_another_user_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ConfinementError, match="only root"):
        confinement_of(definition("true", user=OTHER))


@as_root
def test_user_of_the_job_is_who_executes_it(rig: Rig) -> None:
    line = 'id -u; id -g; id -G; echo "$HOME $USER $LOGNAME $SHELL"; ulimit -n; nice; exit 4'
    end = rig.execute(shell(line, user=OTHER, open_files=32, nice=-2, cwd="/"))
    entry = pwd.getpwnam(OTHER)
    groups = " ".join(map(str, os.getgrouplist(OTHER, entry.pw_gid)))
    surroundings = f"{entry.pw_dir} {OTHER} {OTHER} {entry.pw_shell or '/bin/sh'}"
    said = [str(entry.pw_uid), str(entry.pw_gid), groups, surroundings, "32", "-2"]
    assert rig.log(end.key).splitlines() == said
    assert end.exit_code == 4


@as_root
def test_user_of_the_job_cannot_write_who_is_to_be_signalled(rig: Rig) -> None:
    end = rig.execute(
        shell("for f in /proc/self/fd/*; do readlink $f; done; ls -l /proc/self/fd", user=OTHER)
    )
    (line,) = [line for line in rig.log(end.key).splitlines() if line.endswith(".attempt") and "->" in line]
    assert line.startswith("lr-x")


@as_root
def test_command_of_another_user_can_be_stopped_and_is_found(rig: Rig) -> None:
    start = rig.started(shell("sleep 60", user=OTHER))
    assert f'"pid": {start.pid}' in rig.attempt_lock(start.key).read_text()
    rig.pool.stop(start.key, "enough")
    end = rig.end_of(start.key)
    assert (end.outcome, end.reason, end.survivors) == (Outcome.CANCELLED, "enough", ())


@as_root
def test_command_of_another_user_is_inherited_from_a_killed_worker(rig: Rig, shared: Path) -> None:
    gate = shared / "gate"
    os.mkfifo(gate)
    gate.chmod(0o644)
    writer = os.open(gate, os.O_RDWR)
    start = rig.started(shell("read answer; exit 5", user=OTHER, stdin=str(gate)))
    os.kill(rig.worker_pid(), signal.SIGKILL)
    rig.wait(lambda: rig.lost)
    os.write(writer, b"go\n")
    os.close(writer)
    end = rig.end_of(start.key)
    assert (end.outcome, end.exit_code) == (Outcome.FAILURE, 5)


@as_root
@pytest.mark.parametrize("option", ["stdin", "env_file"])
def test_a_link_of_the_user_leads_to_no_file_of_root(
    rig: Rig, shared: Path, option: str, capfd: pytest.CaptureFixture[str]
) -> None:
    secret, link = shared / "secret", shared / "link"
    secret.write_text("A=S3CRET\n")
    secret.chmod(0o600)
    link.symlink_to(secret)
    rights = os.geteuid(), os.getegid(), os.getgroups()
    what = shell("cat; echo $A", user=OTHER, cwd="/", **{option: str(link)})
    end = rig.execute(what)
    assert end.outcome is Outcome.FAILURE
    assert end.reason.endswith(f"EACCES Permission denied: {link}")
    assert run_foreground(what, job="job", now=0) == 126
    secret.chmod(0o644)
    end = rig.execute(what)
    assert (end.outcome, "S3CRET" in rig.log(end.key)) == (Outcome.SUCCESS, True)
    assert run_foreground(what, job="job", now=0) == 0
    assert "S3CRET" in capfd.readouterr().out
    assert (os.geteuid(), os.getegid(), os.getgroups()) == rights


@as_root
def test_a_user_who_is_gone_ends_the_attempt_with_his_name(rig: Rig) -> None:
    end = rig.execute(shell("true", user="no-such-user"))
    assert (end.outcome, end.reason) == (Outcome.FAILURE, "limit_error: there is no user `no-such-user`")


@as_root
def test_the_program_is_looked_up_with_the_rights_of_the_user(rig: Rig, tmp_path: Path) -> None:
    program = tmp_path / "secret"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    tmp_path.chmod(0o755)
    end = rig.execute(definition("./secret", cwd=str(tmp_path), user=OTHER))
    assert end.reason.startswith("spawn_error: EACCES")


def test_unknown_users_and_groups_are_named_with_one_that_is_near() -> None:
    own = pwd.getpwuid(0).pw_name
    with pytest.raises(AccountError, match="there is no user `roott`") as caught:
        account_of(f"{own}t")
    assert caught.value.near == own
    assert trouble_with(f"{own}:no-such-group") == "there is no group `no-such-group`"
    assert trouble_with(own) == trouble_with(None) == ""


def test_exec_applies_the_limits(capfd: pytest.CaptureFixture[str]) -> None:
    what = shell("ulimit -Hn; umask", open_files=48, umask="077")
    assert run_foreground(what, job="job", now=0) == 0
    assert capfd.readouterr().out.split() == ["48", "0077"]


def test_exec_says_which_limit_it_cannot_apply(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert run_foreground(shell("true", user=OTHER), job="job", now=0) == 126
    assert (
        capfd.readouterr().err
        == f"error: limit_error: user {OTHER}: only root can run commands as another user\n"
    )


def test_no_descriptor_is_left_by_a_limit_that_fails() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    held = confinement_of(shell("true", open_files=32))
    assert held is not None
    broken = held._replace(limits=(confine.Limit("x", resource.RLIMIT_NOFILE, 9, 8),))
    for _ in range(3):
        with pytest.raises(ConfinementError, match="x: "):
            confine.start_process(shell("true"), broken, env={}, stdin=None)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
