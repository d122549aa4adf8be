"""A host that is cut off from the server: what it has in hand dies before anybody else may start it again."""

from __future__ import annotations

import time

from tests.hosts.ledger import LEASE_S, Ledger, boottime_of, eventually
from tests.hosts.network import Host, Network


def test_host_that_is_cut_off_kills_what_runs_before_another_takes_it_over(
    network: Network, alpha: Host, beta: Host, ledger: Ledger
) -> None:
    far = ledger.node(beta)
    ledger.add(beta, "long", "0 0 1 1 *", 40, "--on-crash", "rerun")
    ledger.add(beta, "steady", "every 2s", 0)
    ledger.add(beta, "many", "0 0 1 1 *", 3, "--overlap", "allow")
    run_id = ledger.trigger(alpha, "long")
    eventually(lambda: ledger.lines(run_id), "it has started on beta")
    ledger.node(alpha, "run", "--workers", "2")
    time.sleep(3)

    cut_at = time.monotonic()
    network.cut(beta)
    taken = eventually(lambda: len(ledger.attempts(run_id)) == 2, "alpha starts it again", 40)
    eventually(lambda: any(line.attempt == 2 for line in ledger.lines(run_id)), "it has started on alpha")
    lost = ledger.nodes(beta)[0]
    first = ledger.attempts(run_id)[0]
    lease_end = boottime_of(lost.lease_until)
    deaths = {
        word: max(line.at for line in ledger.lines(run_id) if line.attempt == 1 and line.word == word)
        for word in ("lives", "child")
    }
    again = min(line.at for line in ledger.lines(run_id) if line.attempt == 2)
    print(
        f"\nlast sign of life {[f'{lease_end - at:.2f}' for at in deaths.values()]} s before the lease ended; "
        f"abandoned {(first.finished_at - lost.lease_until) / 1e6:.2f} s after it, "
        f"begun again {again - lease_end:.2f} s after it, {taken:.1f} s after the cut"
    )
    assert max(deaths.values()) < lease_end
    assert (first.outcome, first.host) == ("abandoned", "beta")
    assert first.reason == "the node on beta is gone"
    assert first.finished_at > lost.lease_until
    assert again > lease_end
    assert lost.lost_at is not None

    time.sleep(max(0.0, cut_at + 2 * LEASE_S + 3 - time.monotonic()))
    network.heal(beta)
    healed = eventually(lambda: len(ledger.nodes(beta)) == 2, "beta begins anew", 60)
    for _ in range(4):
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
    assert ledger.attempts(run_id)[0] == first, "what came late has changed nothing"
    assert (ledger.run(run_id).outcome, ledger.run(run_id).attempt) == ("success", 2)
    assert {(line.attempt, line.host) for line in ledger.lines(run_id)} == {(1, "beta"), (2, "alpha")}
    print(f"{ledger.check_fire_times('steady', 2)} fire times")
    ledger.audit(alpha)
