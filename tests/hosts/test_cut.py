"""A host that is cut off from the server: what it has in hand dies before anybody else may start it again."""

from __future__ import annotations

import time

import pytest

from cronq.store.postgres.address import PATIENCE
from tests.hosts.ledger import LEASE_S, Ledger, boottime_of, eventually, notices
from tests.hosts.network import Host, Network

SILENCE_S = PATIENCE["tcp_user_timeout"] / 1000


def test_host_that_is_cut_off_kills_what_runs_before_another_takes_it_over(
    network: Network, alpha: Host, beta: Host, ledger: Ledger
) -> None:
    far = ledger.node(beta)
    ledger.add(beta, "long", "0 0 1 1 *", 25, "--on-crash", "rerun", "--retry-delay", "1s")
    ledger.add(beta, "late", "0 0 1 1 *", 6, "--on-crash", "rerun", "--retry-delay", "1s")
    ledger.add(beta, "steady", "every 2s", 0)
    ledger.add(beta, "many", "0 0 1 1 *", 3, "--overlap", "allow")
    run_id = ledger.trigger(alpha, "long")
    eventually(lambda: ledger.lines(run_id), "it has started on beta")
    late = ledger.trigger(alpha, "late")
    eventually(lambda: ledger.lines(late), "the one that will end unheard has started on beta")
    ledger.node(alpha, "run", "--workers", "3")

    cut_at, cut_wall = time.monotonic(), time.time()
    network.cut(beta)
    taken = eventually(lambda: len(ledger.attempts(run_id)) == 2, "alpha starts it again", 40)
    eventually(lambda: any(line.attempt == 2 for line in ledger.lines(run_id)), "it has started on alpha")
    eventually(lambda: len(ledger.attempts(late)) == 2, "and the other one")
    assert [line.word for line in ledger.lines(late) if line.attempt == 1][-1] == "end"
    lost = ledger.nodes(beta)[0]
    first, first_late = ledger.attempts(run_id)[0], ledger.attempts(late)[0]
    assert first_late.outcome == "abandoned"
    lease_end = boottime_of(lost.lease_until)
    deaths = {
        word: max(line.at for line in ledger.lines(run_id) if line.attempt == 1 and line.word == word)
        for word in ("lives", "child")
    }
    again = min(line.at for line in ledger.lines(run_id) if line.attempt == 2)
    print(
        f"\nlast sign of life {[f'{lease_end - at:.2f}' for at in deaths.values()]} s before the lease "
        f"ended; abandoned {(first.finished_at - lost.lease_until) / 1e6:.2f} s after it, "
        f"begun again {again - lease_end:.2f} s after it, {taken:.1f} s after the cut"
    )
    assert max(deaths.values()) < lease_end
    assert (first.outcome, first.host) == ("abandoned", "beta")
    assert first.reason == "the node on beta is gone"
    assert first.finished_at > lost.lease_until
    assert again > lease_end
    assert lost.lost_at is not None

    time.sleep(max(0.0, cut_at + LEASE_S + 8 - time.monotonic()))
    network.heal(beta)
    noticed = min(at for at, said in notices(far) if "cannot be reached" in said) - cut_wall
    print(f"noticed {noticed:.1f} s after the cut")
    assert noticed < LEASE_S / 3 + SILENCE_S + 2
    healed = eventually(lambda: len(ledger.nodes(beta)) == 2, "beta begins anew", 60)
    for _ in range(5):
        ledger.trigger(alpha, "many")
    worked = eventually(
        lambda: ledger.server.execute(
            "SELECT 1 FROM attempt WHERE host = 'beta' AND outcome = 'success' AND claimed_at > %s",
            ledger.nodes(beta)[1].started_at,
        ),
        "beta executes again",
        60,
    )
    print(f"beta is a node again {healed:.1f} s after healing, and has executed {worked:.1f} s later")
    assert far.code is None
    eventually(lambda: ledger.run(run_id).state == "done", "the second attempt ends", 60)
    # But for the output, which was brought along.
    after, late_after = (ledger.attempts(number)[0]._replace(is_shipped=False) for number in (run_id, late))
    assert after == first._replace(is_shipped=False), "what came late has changed nothing"
    assert late_after == first_late._replace(is_shipped=False), "nor has a success that came too late"
    assert len(ledger.attempts(late)) == 2
    assert (ledger.run(run_id).outcome, ledger.run(run_id).attempt) == ("success", 2)
    assert {(line.attempt, line.host) for line in ledger.lines(run_id)} == {(1, "beta"), (2, "alpha")}
    print(f"{ledger.check_fire_times('steady', 2)} fire times")
    ledger.audit(alpha)


@pytest.mark.slow
def test_host_that_is_cut_off_for_less_than_its_lease_goes_on(
    network: Network, alpha: Host, beta: Host, ledger: Ledger
) -> None:
    ledger.lease_s = 30.0
    far = ledger.node(beta)
    ledger.add(beta, "short", "0 0 1 1 *", 6)
    ledger.add(beta, "long", "0 0 1 1 *", 20)
    ledger.add(beta, "steady", "every 2s", 0)
    short, long = (ledger.trigger(beta, name) for name in ("short", "long"))
    for run_id in (short, long):
        eventually(lambda run_id=run_id: ledger.lines(run_id), "it has started on beta")  # type: ignore[misc]
    ledger.node(alpha)

    network.cut(beta)
    time.sleep(12)
    assert any(line.word == "end" for line in ledger.lines(short)), "it has ended"
    assert ledger.run(short).state == "running", "and nobody knows"
    network.heal(beta)
    known = eventually(lambda: ledger.run(short).state == "done", "its end is known")
    eventually(lambda: ledger.run(long).state == "done", "the other one ends, too")
    print(f"\nthe end is known {known:.1f} s after healing")
    for run_id in (short, long):
        run = ledger.run(run_id)
        assert (run.outcome, run.attempt) == ("success", 1)
        assert [line.word for line in ledger.lines(run_id) if line.word in {"start", "end"}] == [
            "start",
            "end",
        ]
    assert (ledger.attempts(short)[0].finished_at / 1e6) < time.time() - 5
    assert len(ledger.nodes(beta)) == 1
    print(f"{ledger.check_fire_times('steady', 2)} fire times", notices(far))
    ledger.audit(alpha)


@pytest.mark.slow
def test_node_that_is_cut_off_can_be_stopped(
    network: Network, alpha: Host, beta: Host, ledger: Ledger
) -> None:
    ledger.add(beta, "long", "0 0 1 1 *", 300)
    node = ledger.node(beta, "worker", "--drain", "1s")
    run_id = ledger.trigger(alpha, "long")
    eventually(lambda: ledger.lines(run_id), "it has started")
    network.cut(beta)
    time.sleep(2)
    begin = time.monotonic()
    node.stop(90)
    print(f"\nstopped in {time.monotonic() - begin:.1f} s")
    size = ledger.witness.stat().st_size
    time.sleep(0.5)
    assert ledger.witness.stat().st_size == size, "what it ran is dead"
