"""Nodes behind PgBouncer in transaction mode: `?listen=no`."""

from __future__ import annotations

import sys
import time

import pytest

from tests.hosts.ledger import Ledger, PostgresServer, eventually, notices
from tests.hosts.network import Host
from tests.hosts.pooler import program, start_pooler


@pytest.mark.slow
@pytest.mark.skipif(program() is None, reason="PgBouncer is not installed")
def test_node_behind_a_pooler(alpha: Host, beta: Host, server: PostgresServer, ledger: Ledger) -> None:
    ledger.url = start_pooler(beta, server)
    ledger.add(beta, "steady", "every 2s", 0)
    ledger.add(beta, "again", "0 0 1 1 *", 0)
    ledger.cronq(beta, "add", "sleeper", "0 0 1 1 *", "--cwd", "/", "--", "sleep", "300")
    far = ledger.node(beta)
    near = ledger.node(alpha)

    took = []
    for _ in range(4):
        run_id = ledger.trigger(alpha, "again")
        took.append(eventually(lambda run_id=run_id: ledger.run(run_id).state == "done", "it runs"))  # type: ignore[misc]
    sleeper = ledger.trigger(alpha, "sleeper")
    eventually(lambda: ledger.attempts(sleeper) and ledger.attempts(sleeper)[0].started_at, "it has started")
    begin = time.time()
    ledger.cronq(alpha, "cancel", str(sleeper))
    eventually(lambda: ledger.run(sleeper).state == "done", "it is cancelled")
    cancelled = ledger.attempts(sleeper)[0].finished_at / 1e6 - begin
    print(f"\nstarted in {[round(s, 1) for s in took]} s, cancelled in {cancelled:.1f} s")
    assert cancelled < 6
    assert max(took) < 7

    eventually(lambda: ledger.check_fire_times("steady", 2) >= 4, "four fire times")
    assert [node.stop() for node in (far, near)] == [0, 0]
    for node in (far, near):
        assert notices(node) == []
    assert ledger.check_fire_times("steady", 2) >= 4
    ledger.audit(alpha)
    # Nothing of ours stays in the sessions that others get.
    assert_clean(ledger, alpha)


def assert_clean(ledger: Ledger, host: Host) -> None:
    """See that the sessions are as the server made them."""
    ask = (
        "import os, psycopg; c = psycopg.connect(os.environ['URL'], autocommit=True, prepare_threshold=None);"
        "print({c.execute(\"SELECT current_setting('search_path') || current_setting('lock_timeout')\")"
        ".fetchone()[0] for _ in range(12)})"
    )
    said = host.run(sys.executable, "-c", ask, environ={"URL": ledger.url.partition("?")[0]})
    assert said.strip() == "{'\"$user\", public0'}"
