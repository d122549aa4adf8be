"""The node's part, turn by turn, with a ledger that fails, and forgets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cronq import shipping
from cronq.errors import StoreError, StoreFull, StoreUnreachable
from cronq.model import AttemptEnd, AttemptKey, Outcome
from cronq.shipping import AGAIN_S, MOST_AT_ONCE, ROOM, SOON_S, Shipping
from cronq.store import Place
from cronq.store.postgres.outputs import Shippable
from tests.unit.worker.rig import claim_of, shell


class Ledger:
    """What a ledger does with output; `trouble` is raised by all that it is asked."""

    def __init__(self) -> None:
        self.node = SimpleNamespace(id=1)
        self.known: set[AttemptKey] | None = None
        self.pieces: dict[AttemptKey, dict[int, bytes]] = {}
        self.over: set[AttemptKey] = set()
        self.statements = 0
        self.trouble: StoreError | None = None
        self.behind: list[Shippable] = []
        self.follows: list[Shippable] = []
        self.max_output: int | None = None

    def ship(
        self, pieces: list[Any], over: list[AttemptKey] | tuple[AttemptKey, ...] = ()
    ) -> set[AttemptKey]:
        self._count()
        assert sum(len(data) for _, (_, data) in pieces) <= ROOM + 65_536
        found = {key for key, _ in pieces} | set(over)
        found = found if self.known is None else found & self.known
        for key, (position, data) in pieces:
            if key in found:
                self.pieces.setdefault(key, {})[position] = data
        self.over |= found & set(over)
        self.behind = [one for one in self.behind if one.key not in self.over]
        return found

    def clear_output(self, key: AttemptKey) -> None:
        self._count()
        self.pieces.pop(key, None)

    def thin_output(self, key: AttemptKey, start: int, end: int) -> None:
        self._count()
        held = self.pieces[key]
        self.pieces[key] = {at: data for at, data in held.items() if not start <= at <= end}

    def unshipped(self, host: str, seat: str, *, after: AttemptKey, limit: int) -> list[Shippable]:
        self._count()
        assert (host, seat) == ("alpha", "x/1")
        return [one for one in sorted(self.behind) if one.key > after][:limit]

    def followed(self, node: int) -> list[Shippable]:
        self._count()
        return self.follows

    def definition(self, job_id: int, revision: int) -> object:
        return shell("true", max_output=self.max_output)

    def output(self, key: AttemptKey) -> bytes:
        return b"".join(data for _, data in sorted(self.pieces[key].items()))

    def _count(self) -> None:
        self.statements += 1
        if self.trouble is not None:
            raise self.trouble


class Rig:
    """A node without a scheduler, in a time of its own."""

    def __init__(self, folder: Path) -> None:
        self.at = 1000.0
        self.ledger = Ledger()
        self.place = Place(folder / "node", folder / "logs", "test")
        clock = SimpleNamespace(monotonic=lambda: self.at)
        self.shipping = Shipping(
            cast("Any", self.ledger), "alpha", lambda: {"x/1": self.place}, self.place, cast("Any", clock), {}
        )
        self.scheduler = SimpleNamespace(workers=SimpleNamespace(busy=True), is_in_trouble=False)

    def write(self, number: int, data: bytes) -> None:
        path = self.place.log_file(number, 1)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o600)

    def end(self, number: int, data: bytes | None = None, max_output: int | None = None) -> None:
        if data is not None:
            self.write(number, data)
        claim = claim_of(shell("true", max_output=max_output), number)
        end = AttemptEnd(claim.key, Outcome.SUCCESS, 0, output_bytes=len(data or b""))
        self.shipping.ended(claim, end, claim.run)

    def turn(self, seconds: float = 0.0) -> None:
        """One turn of the loop, so much later, in which the ticker is called if it is due."""
        self.at += seconds
        ticker = self.shipping.ticker
        if self.at >= ticker.next_at:
            ticker.next_at = self.at + ticker.every_s
            ticker.action(cast("Any", self.scheduler))

    def settle(self, seconds: float = 60.0) -> None:
        """Turn whenever the ticker wakes the loop, until it does not."""
        end = self.at + seconds
        while self.at < end and self.shipping.ticker.wakes:
            self.at = max(self.at, self.shipping.ticker.next_at)
            self.turn()


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    rig.turn()
    before = open_files()
    yield rig
    rig.shipping.close()
    assert open_files() == before, "a log was left open"


def test_an_idle_node_wakes_nobody(rig: Rig) -> None:
    assert not rig.shipping.ticker.wakes
    rig.end(1)
    rig.scheduler.workers.busy = False
    rig.settle()
    before = rig.ledger.statements
    for _ in range(10):
        rig.turn(5)
    assert rig.ledger.statements == before


def test_ends_of_an_instant_make_one_statement(rig: Rig) -> None:
    rig.scheduler.workers.busy = False
    before = rig.ledger.statements
    for number in range(1, MOST_AT_ONCE + 1):
        rig.end(number, b"hello %d\n" % number)
    rig.turn()
    assert rig.ledger.statements == before
    rig.settle()
    assert rig.ledger.statements == before + 1
    assert len(rig.ledger.over) == MOST_AT_ONCE
    assert rig.ledger.output((7, 1)) == b"hello 7\n"


def test_a_large_log_takes_many_turns(rig: Rig) -> None:
    rig.scheduler.workers.busy = False
    data = os.urandom(5_000_000)
    before = rig.ledger.statements
    rig.end(1, data, max_output=10_000_000)
    rig.turn(SOON_S)
    assert rig.ledger.statements == before + 1
    assert not rig.ledger.over
    rig.settle()
    assert rig.ledger.output((1, 1)) == data
    assert rig.ledger.over == {(1, 1)}


@pytest.mark.parametrize("trouble", [StoreUnreachable("gone"), StoreFull("full")])
def test_what_fails_is_tried_again(rig: Rig, trouble: StoreError) -> None:
    rig.end(1, b"x" * 1_000_000)
    rig.turn(SOON_S)
    assert rig.ledger.pieces
    rig.ledger.trouble = trouble
    rig.turn()
    before = rig.ledger.statements
    rig.turn(AGAIN_S - 0.01)
    assert rig.ledger.statements == before
    rig.turn(0.02)
    assert rig.ledger.statements > before
    rig.ledger.trouble = None
    rig.settle()
    assert rig.ledger.output((1, 1)) == b"x" * 1_000_000
    assert rig.ledger.over == {(1, 1)}


def test_an_attempt_that_is_gone_is_given_up(rig: Rig) -> None:
    rig.ledger.known = {(2, 1)}
    rig.end(1, b"one")
    rig.end(2, b"two")
    rig.settle()
    assert rig.ledger.pieces == {(2, 1): {0: b"two"}}
    assert rig.ledger.over == {(2, 1)}
    assert not rig.shipping.ticker.wakes


def test_what_the_ledger_lacks_is_found(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for number in range(1, 251):
        rig.ledger.behind.append(Shippable(number, 1, "w", 1, 1))
        if number % 2:
            rig.write(number, b"late %d" % number)
    rig.ledger.pieces[(1, 1)] = {0: b"old", 3: b"er"}
    rig.turn()
    rig.settle()
    assert rig.ledger.behind == []
    assert len(rig.ledger.pieces) == 125
    assert rig.ledger.output((1, 1)) == b"late 1"


def test_finding_goes_on_when_the_ledger_is_back(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.ledger.behind.append(Shippable(1, 1, "w", 1, 1))
    rig.write(1, b"late")
    rig.ledger.trouble = StoreUnreachable("gone")
    rig.turn()
    rig.ledger.trouble = None
    rig.turn(AGAIN_S + 1)
    rig.settle()
    assert rig.ledger.over == {(1, 1)}


def test_more_ends_than_are_remembered_are_found(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "MOST_WAITING", 10)
    for number in range(1, 21):
        rig.end(number, b"x")
        rig.ledger.behind.append(Shippable(number, 1, "w", 1, 1))
    rig.settle()
    assert len(rig.ledger.over) == 10
    rig.turn(AGAIN_S + 1)
    rig.settle()
    assert len(rig.ledger.over) == 20


def test_a_log_that_is_to_be_cut_is_waited_for(rig: Rig) -> None:
    rig.end(1, b"x" * 1000, max_output=100)
    rig.turn(SOON_S)
    rig.turn(SOON_S)
    assert not rig.ledger.over
    rig.write(1, b"cut")
    rig.settle()
    assert rig.ledger.output((1, 1)) == b"cut"
    rig.end(2, b"x" * 1000, max_output=100)
    rig.settle()
    assert rig.ledger.output((2, 1)) == b"x" * 100


def test_what_is_followed_is_shipped_as_it_comes(rig: Rig) -> None:
    rig.write(1, b"one ")
    rig.ledger.follows = [Shippable(1, 1, "w", 1, 1)]
    rig.shipping.hear("follow")
    rig.turn()
    assert rig.ledger.output((1, 1)) == b"one "
    with rig.place.log_file(1, 1).open("ab") as file:
        file.write(b"two ")
    rig.turn(1.01)
    assert rig.ledger.output((1, 1)) == b"one two "
    rig.ledger.follows = []
    rig.turn(1.01)
    rig.settle()
    assert not rig.shipping.ticker.wakes
    with rig.place.log_file(1, 1).open("ab") as file:
        file.write(b"three")
    rig.end(1)
    rig.settle()
    assert rig.ledger.output((1, 1)) == b"one two three"
    assert rig.ledger.over == {(1, 1)}


def test_what_was_shipped_before_is_removed_also_if_nothing_follows(rig: Rig) -> None:
    rig.write(1, b"")
    rig.ledger.pieces[(1, 1)] = {0: b"of a node that is dead"}
    rig.ledger.follows = [Shippable(1, 1, "w", 1, 1)]
    rig.shipping.hear("follow")
    rig.turn()
    assert rig.ledger.pieces == {}


def test_the_end_of_a_node_ships_the_rest_unless_it_fails(rig: Rig) -> None:
    rig.end(1, b"x" * 1_000_000)
    rig.end(2, b"y" * 1000, max_output=100)
    rig.shipping.finish()
    assert rig.ledger.over == {(1, 1), (2, 1)}
    rig.end(3, b"z")
    rig.ledger.trouble = StoreUnreachable("gone")
    rig.shipping.finish()
    assert rig.ledger.over == {(1, 1), (2, 1)}


def test_while_the_ledger_is_in_trouble_it_is_not_asked(rig: Rig) -> None:
    rig.end(1, b"x")
    rig.scheduler.is_in_trouble = True
    before = rig.ledger.statements
    for _ in range(10):
        rig.turn(1)
    assert rig.ledger.statements == before
    rig.scheduler.is_in_trouble = False
    rig.settle()
    assert rig.ledger.over == {(1, 1)}


def test_news_of_others_is_not_ours(rig: Rig) -> None:
    rig.shipping.hear("due")
    assert not rig.shipping.ticker.wakes
