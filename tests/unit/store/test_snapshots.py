"""What is read in several statements is of one instant, whoever commits between them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cronq.model import State
from cronq.store import Store
from tests.unit.store.builders import NOW, add, claim_one, finish, pause, start
from tests.unit.store.conftest import OpenStore


@pytest.fixture
def between(
    store: Store, another: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Store], None]], list[int]]:
    """Let somebody else do something after the first statement of what is asked next."""

    def arrange(action: Callable[[Store], None]) -> list[int]:
        other = another()
        ask, asked = store._all, list[int]()  # type: ignore[attr-defined]

        def asking(query: str, values: object = ()) -> object:
            found = ask(query, values)
            asked.append(1)
            if len(asked) == 1:
                action(other)
                other.close()
            return found

        monkeypatch.setattr(store, "_all", asking)
        return asked

    return arrange


Between = Callable[[Callable[[Store], None]], list[int]]


@pytest.mark.parametrize("names", [(), ("job",)])
def test_overview_of_a_run_that_ends_meanwhile(
    store: Store, between: Between, names: tuple[str, ...]
) -> None:
    add(store)
    store.trigger(["job"], now=NOW)
    claim = claim_one(store)
    store.record([start(claim)], [])

    def end_it(other: Store) -> None:
        finish(other, claim)

    asked = between(end_it)
    (overview,) = store.overviews(names)
    assert len(asked) > 1
    assert (overview.active.running, len(overview.recent)) == (1, 0)
    assert overview.running_since is not None
    (overview,) = store.overviews(names)
    assert (overview.active.running, len(overview.recent)) == (0, 1)


def test_run_that_ends_meanwhile_and_its_attempts(store: Store, between: Between) -> None:
    add(store)
    store.trigger(["job"], now=NOW)
    claim = claim_one(store)

    def end_it(other: Store) -> None:
        finish(other, claim)

    between(end_it)
    detail = store.run(claim.run.id)
    assert detail.run.state is State.RUNNING
    assert [attempt.outcome for attempt in detail.attempts] == [None]


def test_jobs_that_are_paused_together_meanwhile(store: Store, between: Between) -> None:
    for name in ("a", "b"):
        add(store, name)

    def pause_them(other: Store) -> None:
        pause(other, "a", "b")

    between(pause_them)
    assert {one.job.paused_at for one in store.due(["a", "b"])} == {None}
