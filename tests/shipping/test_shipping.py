"""Logs of one host read on another one: shipped at the end, followed while they are written."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.postgres.server import Server
from tests.shipping.hosts import SECRET, Host, wait_for


def test_output_is_the_same_on_every_host(alpha: Host, beta: Host) -> None:
    alpha.job("plain", "echo hello; echo trouble >&2")
    alpha.job("silent", "true")
    binary = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 1000)"
    alpha.job("binary", f"{sys.executable} -c '{binary}'")
    node = alpha.node()
    plain, silent, binary_run = alpha.trigger("plain"), alpha.trigger("silent"), alpha.trigger("binary")
    for run_id in (plain, binary_run):
        alpha.shipped(run_id)
        expected = alpha.log(run_id).read_bytes()
        assert alpha.run("logs", str(run_id)) == expected
        assert beta.run("logs", str(run_id)) == expected
    assert expected == bytes(range(256)) * 1000
    assert beta.run("logs", str(plain), "-f") == b"hello\ntrouble\n"
    assert beta.run("logs", "plain", "-n", "1") == b"trouble\n"
    assert beta.run("logs", "plain", "-n", "0") == b""
    assert beta.run("logs", "plain", "-n", "9") == b"hello\ntrouble\n"
    alpha.ended(silent)
    assert beta.run("logs", str(silent)) == b""
    longest = alpha.rows("SELECT max(length(data)), count(*) FROM output")
    assert longest == [(65_536, 5)]
    alpha.stop(node)


@pytest.mark.slow
def test_of_long_output_as_much_is_shipped_as_is_kept(alpha: Host, beta: Host) -> None:
    script = "i=0; while [ $i -lt 10 ]; do head -c 1000000 /dev/zero | tr '\\0' x; i=$((i+1)); done"
    alpha.job("all", script)
    alpha.job("capped", script, "--max-output", "100K")
    alpha.node()
    whole, capped = alpha.trigger("all"), alpha.trigger("capped")
    alpha.shipped(whole)
    alpha.shipped(capped)
    shown = beta.run("logs", str(whole))
    assert f"[cronq: {10_000_000 - 1024**2:,} bytes are left out here".encode() in shown
    assert b"is on alpha]" in shown
    assert shown.count(b"x") == 1024**2
    assert len(alpha.run("logs", str(whole))) == 10_000_000
    expected = alpha.log(capped).read_bytes()
    assert 90_000 < len(expected) <= 102_400
    assert b"bytes were cut here (--max-output 100K)" in expected
    assert beta.run("logs", str(capped)) == expected
    assert beta.run("logs", str(capped), "-n", "1") == expected.splitlines(keepends=True)[-1]


@pytest.mark.slow
def test_no_secret_value_is_shipped(alpha: Host, beta: Host) -> None:
    script = (
        f"i=0; while [ $i -lt 9000 ]; do echo value {SECRET} $i; i=$((i+1)); done; sleep 3; echo {SECRET}"
    )
    alpha.job("token", script, "--secret", "TOKEN", "--env", f"TOKEN={SECRET}")
    alpha.node()
    run_id = alpha.trigger("token")
    wait_for(lambda: alpha.rows(f"SELECT 1 FROM run WHERE id = {run_id} AND state = 'running'"))
    followed = beta.run("logs", str(run_id), "-f")
    alpha.shipped(run_id)
    held = b"".join(bytes(row[0]) for row in alpha.rows("SELECT data FROM output ORDER BY position"))
    assert SECRET.encode() not in held
    assert b"value *** 8999" in held
    assert followed == held == alpha.run("logs", str(run_id))


def test_a_run_on_another_host_is_followed(alpha: Host, beta: Host) -> None:
    go = alpha.folder / "go"
    alpha.job(
        "slow", f"echo line 1; until [ -e {go} ]; do sleep 0.1; done; echo line 2; sleep 1; echo line 3"
    )
    node = alpha.node()
    run_id = alpha.trigger("slow")
    wait_for(lambda: alpha.rows(f"SELECT 1 FROM run WHERE id = {run_id} AND state = 'running'"))
    said = beta.run("logs", str(run_id), code=2, errors=True).decode()
    assert f"run {run_id} runs on alpha, and nothing of its output was shipped so far" in said
    follower = beta.start("logs", str(run_id), "-f")
    assert follower.stdout is not None
    first = follower.stdout.readline()
    assert first == b"line 1\n"
    assert alpha.rows(f"SELECT 1 FROM run WHERE id = {run_id} AND state = 'running'")
    assert b"runs on alpha; this is what was shipped so far" in beta.run("logs", str(run_id), errors=True)
    go.touch()
    rest, said_too = follower.communicate(timeout=30)
    assert first + rest == b"".join(b"line %d\n" % i for i in (1, 2, 3)), said_too
    alpha.shipped(run_id)
    assert beta.run("logs", str(run_id)) == first + rest
    alpha.stop(node)


@pytest.mark.slow
def test_a_run_is_followed_without_listening(alpha: Host, beta: Host) -> None:
    for host in (alpha, beta):
        host.environ["CRONQ_DB"] += "&listen=no"
    go = alpha.folder / "go"
    alpha.job("slow", f"echo first; until [ -e {go} ]; do sleep 0.1; done; echo last")
    alpha.node()
    run_id = alpha.trigger("slow")
    wait_for(lambda: alpha.rows(f"SELECT 1 FROM run WHERE id = {run_id} AND state = 'running'"))
    follower = beta.start("logs", str(run_id), "-f")
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"first\n"
    assert alpha.rows(f"SELECT 1 FROM run WHERE id = {run_id} AND state = 'running'")
    go.touch()
    assert follower.communicate(timeout=40)[0] == b"last\n"


@pytest.mark.slow
def test_of_a_followed_run_the_middle_may_be_left_out(alpha: Host, beta: Host) -> None:
    script = "i=0; while [ $i -lt 40 ]; do head -c 100000 /dev/zero | tr '\\0' x; sleep 0.1; i=$((i+1)); done"
    alpha.job("long", script)
    alpha.node()
    run_id = alpha.trigger("long")
    wait_for(lambda: alpha.rows(f"SELECT 1 FROM run WHERE id = {run_id} AND state = 'running'"))
    followed = beta.run("logs", str(run_id), "-f")
    assert followed.count(b"x") == 4_000_000
    alpha.shipped(run_id)
    wait_for(lambda: alpha.rows("SELECT sum(length(data)) FROM output")[0][0] < 1_200_000)
    assert b"bytes are left out here; what is kept of them is on alpha]" in beta.run("logs", str(run_id))


def test_a_follower_outlives_the_node(alpha: Host, beta: Host) -> None:
    alpha.job("slow", "i=0; while [ $i -lt 12 ]; do echo line $i; sleep 1; i=$((i+1)); done")
    node = alpha.node()
    run_id = alpha.trigger("slow")
    wait_for(lambda: alpha.rows(f"SELECT 1 FROM run WHERE id = {run_id} AND state = 'running'"))
    follower = beta.start("logs", str(run_id), "-f")
    assert follower.stdout is not None
    first = follower.stdout.readline()
    alpha.stop(node, signal.SIGKILL)
    alpha.node()
    rest, _ = follower.communicate(timeout=40)
    assert first + rest == b"".join(b"line %d\n" % i for i in range(12))
    alpha.shipped(run_id)
    assert beta.run("logs", str(run_id)) == first + rest


def test_what_a_killed_node_did_not_ship_its_successor_ships(alpha: Host, beta: Host) -> None:
    alpha.job("late", "echo before; sleep 4; echo after")
    node = alpha.node()
    run_id = alpha.trigger("late")
    wait_for(lambda: alpha.rows(f"SELECT 1 FROM attempt WHERE run_id = {run_id} AND pid IS NOT NULL"))
    alpha.stop(node, signal.SIGKILL)
    alpha.ended(run_id)  # its worker writes that down
    said = beta.run("logs", str(run_id), code=5, errors=True).decode()
    assert f"the output of run {run_id} is on alpha, which has not shipped it" in said
    assert alpha.run("logs", str(run_id)) == b"before\nafter\n"
    alpha.node()
    alpha.shipped(run_id)
    assert beta.run("logs", str(run_id)) == b"before\nafter\n"


def test_shipping_goes_on_when_the_database_is_back(
    names: None, own_postgres: Server, tmp_path: Path
) -> None:
    url = own_postgres.fresh_database()
    beta = Host("beta", url, tmp_path)
    with Host("alpha", url, tmp_path).living() as alpha:
        alpha.job("many", "head -c 3000000 /dev/zero | tr '\\0' y", "--max-output", "4M")
        alpha.node()
        run_id = alpha.trigger("many")
        wait_for(lambda: alpha.rows(f"SELECT 1 FROM output WHERE run_id = {run_id}"))
        own_postgres.restart(immediate=True)
        alpha.shipped(run_id)
        assert beta.run("logs", str(run_id)) == b"y" * 3_000_000


def test_a_node_ships_before_it_leaves(alpha: Host, beta: Host) -> None:
    alpha.job("last", "echo done")
    alpha.trigger("last")
    alpha.run("run", "--until-idle")
    assert beta.run("logs", "last") == b"done\n"


@pytest.mark.slow
def test_hosts_may_share_a_folder_for_logs(alpha: Host, beta: Host, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    alpha.job("slow", "echo one; sleep 2; echo two")
    alpha.node("run", "--log-dir", str(shared))
    run_id = alpha.trigger("slow")
    wait_for(lambda: alpha.rows(f"SELECT 1 FROM run WHERE id = {run_id} AND state = 'running'"))
    assert beta.run("logs", str(run_id), "-f", "--log-dir", str(shared)) == b"one\ntwo\n"
    assert (shared / f"000000/{run_id}.1.log").read_bytes() == b"one\ntwo\n"
    assert beta.run("logs", str(run_id), "--log-dir", str(shared)) == b"one\ntwo\n"
    assert alpha.rows("SELECT 1 FROM output") == []
    said = beta.run("logs", str(run_id), "--log-dir", str(tmp_path / "none"), code=2, errors=True)
    assert b"there is no folder" in said
    beta.environ["CRONQ_LOG_DIR"] = str(shared)
    assert beta.run("logs", str(run_id)) == b"one\ntwo\n"


@pytest.mark.slow
def test_pruned_runs_lose_their_output(alpha: Host) -> None:
    alpha.job("often", "echo hello")
    alpha.node()
    first, second = alpha.trigger("often"), None
    alpha.shipped(first)
    second = alpha.trigger("often")
    alpha.shipped(second)
    alpha.rows(f"DELETE FROM run WHERE id = {first}")
    assert alpha.rows("SELECT run_id FROM output") == [(second,)]


def test_logs_of_runs_that_another_host_pruned_go(alpha: Host, beta: Host) -> None:
    alpha.job("often", "echo hello")
    node = alpha.node()
    first = alpha.trigger("often")
    alpha.shipped(first)
    second = alpha.trigger("often")
    alpha.shipped(second)
    alpha.stop(node)
    beta.run("prune", "often", "--keep", "1", "--yes")
    assert alpha.log(first).exists()  # it is on alpha
    alpha.node()
    wait_for(lambda: not [*alpha.folder.glob(f"state/**/{first}.1.log")])
    assert alpha.log(second).exists()


def test_many_small_outputs_go_together(alpha: Host) -> None:
    alpha.job("small", "echo hello", "--overlap", "allow")
    for _ in range(20):
        alpha.run("trigger", "small")
    node = alpha.node("run", "--workers", "4")
    wait_for(lambda: alpha.rows("SELECT count(*) FROM attempt WHERE is_shipped")[0] == (20,))
    alpha.stop(node)
    assert alpha.rows("SELECT count(*), count(DISTINCT xmin::text) < 20 FROM output") == [(20, True)]
