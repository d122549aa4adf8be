"""Every definition comes back from its text, and from a store, as it was."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronq.model import CatchUp, Command, CommandKind, Definition, OnCrash, Overlap
from cronq.store import NewJob, Place, Store, open_store
from cronq.store.documents import definition_from_document, document_from_definition

texts = st.text(st.characters(codec="utf-8"), max_size=30)
seconds = st.floats(0, 1e12)
counts = st.integers(0, 2**53)
commands = st.one_of(
    st.builds(Command, st.just(CommandKind.ARGV), st.lists(texts, min_size=1, max_size=4).map(tuple)),
    st.builds(Command, st.just(CommandKind.SHELL), st.tuples(texts)),
    st.builds(Command, st.just(CommandKind.PYTHON), st.tuples(texts), args=texts),
)
definitions = st.builds(
    Definition,
    command=commands,
    schedule=texts,
    tz=texts,
    dst=texts,
    cwd=texts,
    path=texts,
    env=st.lists(st.tuples(texts, texts), max_size=4).map(tuple),
    env_file=st.none() | texts,
    stdin=st.none() | texts,
    timeout_s=st.none() | seconds,
    cpu_time_s=st.none() | seconds,
    locks=st.lists(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,62}", fullmatch=True), max_size=3, unique=True).map(
        tuple
    ),
    kill_after_s=seconds,
    success_codes=st.lists(st.integers(0, 255), max_size=4).map(tuple),
    overlap=st.sampled_from(Overlap),
    max_running=st.none() | st.integers(1, 2**40),
    max_queued=counts,
    catch_up=st.sampled_from(CatchUp),
    grace_s=seconds,
    catch_up_window_s=seconds,
    catch_up_limit=counts,
    retries=counts,
    retry_delay_s=seconds,
    retry_factor=seconds,
    retry_max_delay_s=seconds,
    retry_jitter=st.floats(0, 1),
    on_crash=st.sampled_from(OnCrash),
    priority=st.integers(-(2**40), 2**40),
    queue=st.none() | st.from_regex(r"[a-z0-9][a-z0-9._-]{0,62}", fullmatch=True),
)


@settings(max_examples=200, deadline=None)
@given(definitions)
def test_definition_comes_back_from_its_document(definition: Definition) -> None:
    document = document_from_definition(definition)
    assert definition_from_document(document) == definition
    assert document_from_definition(definition_from_document(document)) == document


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder, "cronq.db"), Path(folder, "logs"), "test")
        opened = open_store(place, create=True, environ={})
        yield opened
        opened.close()


@settings(max_examples=100, deadline=None)
@given(definition=definitions)
def test_definition_comes_back_from_the_store(store: Store, definition: Definition) -> None:
    name = f"job-{store.totals().jobs}"
    added = store.add_job(NewJob(name, definition, 0), now=0)
    assert store.job(name) == added
    assert store.job(name).definition == definition
