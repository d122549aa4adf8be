"""The queue of a job as its row has it, where a claim looks: always that of its definition."""

from __future__ import annotations

from contextlib import closing

import pytest

from cronq.store import Place, Store
from cronq.store.sqlite_rows import Ledger
from cronq.store.sqlite_tick import open_tick_store
from tests.unit.store.builders import NOW, add, pause, redefine, remove, resume


def column_of(store: Store, name: str = "job") -> str | None:
    assert isinstance(store, Ledger)
    (queue,) = store._one("SELECT queue FROM job WHERE name = ?", (name,))
    assert queue is None or isinstance(queue, str)
    return queue


@pytest.mark.parametrize("queue", [None, "gpu"])
def test_row_of_a_new_job_has_the_queue_of_its_definition(store: Store, queue: str | None) -> None:
    assert add(store, queue=queue).definition.queue == queue
    assert store.job("job").definition.queue == queue
    assert column_of(store) == queue


def test_row_follows_each_new_definition(store: Store) -> None:
    add(store)
    for queue in ("gpu", "cpu", None, "gpu"):
        assert redefine(store, "job", queue=queue) == store.job("job")
        assert column_of(store) == queue


def test_row_keeps_its_queue_when_only_the_life_of_the_job_changes(store: Store) -> None:
    add(store, queue="gpu")
    pause(store, "job")
    assert column_of(store) == "gpu"
    resume(store, "job")
    assert column_of(store) == "gpu"
    remove(store, "job")
    assert column_of(store) == "gpu"


@pytest.mark.parametrize("queue", [None, "gpu"])
def test_row_made_of_a_portable_state_has_the_queue_of_its_definition(
    place: Place, queue: str | None
) -> None:
    place.database.parent.chmod(0o700)
    with closing(open_tick_store(place, create=True, environ={})) as store:
        definition = add(store, queue="other").definition
        store.plant(store.describe(), {"job": definition._replace(queue=queue)}, NOW)
        assert store.job("job").definition.queue == queue
        assert column_of(store) == queue
