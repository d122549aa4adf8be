"""`cronq cancel` on one host stops a run on another, at once."""

from __future__ import annotations

import statistics
import time

from cronq.store.location import Place
from cronq.store.postgres.address import parse_address
from cronq.store.postgres.store import open_postgres
from tests.hosts.ledger import Ledger, eventually
from tests.hosts.network import Host

ROUNDS = 10


def test_cancel_reaches_a_run_on_another_host(alpha: Host, beta: Host, ledger: Ledger) -> None:
    ledger.cronq(alpha, "add", "sleeper", "0 0 1 1 *", "--cwd", "/", "--", "sleep", "300")
    ledger.node(beta, "worker")

    run_id = started(alpha, ledger)
    begin = time.time()
    assert f"stopping sleeper #{run_id}" in ledger.cronq(alpha, "cancel", str(run_id))
    assert ended(ledger, run_id) - begin < 5

    took = []
    address = parse_address(ledger.url_from_outside, "test")
    store = open_postgres(address, Place(alpha.folder / "x", alpha.folder, "test", address=address))
    for _ in range(ROUNDS):
        run_id = started(alpha, ledger)
        begin = time.time()
        store.cancel(run_id, reason="test", now=round(begin * 1e6))
        took.append((ended(ledger, run_id) - begin) * 1000)
    store.close()
    print(f"\ncancelled in {[round(ms, 1) for ms in sorted(took)]} ms")
    assert statistics.median(took) < 1000, "nobody waited for a beat"
    ledger.audit(alpha)


def started(host: Host, ledger: Ledger) -> int:
    run_id = ledger.trigger(host, "sleeper")
    eventually(lambda: ledger.attempts(run_id) and ledger.attempts(run_id)[0].started_at, "it has started")
    return run_id


def ended(ledger: Ledger, run_id: int) -> float:
    """Wait for a run's end; return when its process had ended."""
    eventually(lambda: ledger.run(run_id).state == "done", "it has ended")
    attempt = ledger.attempts(run_id)[0]
    assert (attempt.outcome, attempt.host) == ("cancelled", "beta")
    return float(attempt.finished_at / 1e6)
