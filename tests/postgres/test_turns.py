"""What a turn writes besides what `cronq.store.base.Store` promises: it withdraws messages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.benchmarks.filling import Planned, argv
from tests.benchmarks.postgres.ledger import Ledger
from tests.postgres.server import Server


@pytest.fixture
def ledger(postgres: Server, tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(postgres, tmp_path)
    made.fill([Planned(argv("/bin/true")), Planned(argv("/bin/true"))])
    yield made
    made.close()


def _waiting(ledger: Ledger) -> set[int]:
    rows = ledger.connection.execute("SELECT args ->> 'run_id' FROM procrastinate_jobs").fetchall()
    return {int(run_id) for (run_id,) in rows}


@pytest.mark.parametrize(("fresh", "left"), [(0, 1), (1, 2), (2, 3), (9, 3)])
def test_claims_beyond_the_permits_take_their_messages_along(ledger: Ledger, fresh: int, left: int) -> None:
    ledger.fill_queue(1, 3)
    store = ledger.opened()
    store.fresh_permits = lambda: fresh
    claims = store.claim(["a", "b"], "boot", now=ledger.one("SELECT cronq_now()"))
    assert len(claims) == 2
    assert len(_waiting(ledger)) == left
    assert {claim.run.id for claim in claims[fresh:]}.isdisjoint(_waiting(ledger))
    store.close()


def test_a_claim_waits_for_nobody_who_is_taking_its_message(ledger: Ledger) -> None:
    ledger.fill_queue(1, 1)
    store = ledger.opened()
    store.fresh_permits = lambda: 0
    with psycopg.connect(ledger.url) as other:
        other.execute("SELECT id FROM cronq.procrastinate_jobs FOR UPDATE")
        assert len(store.claim(["a"], "boot", now=ledger.one("SELECT cronq_now()"))) == 1
    assert len(_waiting(ledger)) == 1
    store.close()


def test_runs_of_many_jobs_are_claimed_with_the_definition_of_each(ledger: Ledger) -> None:
    ledger.fill([Planned(argv("/bin/echo", str(number))) for number in range(5)])
    for job in range(3, 8):
        ledger.fill_queue(job, 1)
    store = ledger.opened()
    claims = store.claim([f"w{number}" for number in range(5)], "boot", now=ledger.one("SELECT cronq_now()"))
    assert [claim.definition.command.words[1] for claim in claims] == ["0", "1", "2", "3", "4"]
    assert [claim.run.job_id for claim in claims] == [3, 4, 5, 6, 7]
    store.close()
