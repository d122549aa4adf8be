"""Keeping a state: the file is the old one or the new one, and the ledger knows which."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cronq.errors import StateUnreadable, StoreFull
from cronq.keeping import Draft, Keeper, belongs, document_in, read_file
from cronq.model import Command, CommandKind, Definition
from cronq.portable.document import EMPTY
from cronq.portable.text import read, text_of
from cronq.store import NewJob, Place
from cronq.store.sqlite_tick import Limits, TickStore, open_tick_store

NOW = 1_777_636_800_000_000
HOUR = 3_600_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TickStore]:
    tmp_path.chmod(0o700)
    place = Place(tmp_path / "cronq.db", tmp_path / "logs", "test")
    with closing(open_tick_store(place, create=True, environ={})) as store:
        definition = Definition(Command(CommandKind.ARGV, ("true",)), "0 * * * *")
        store.add_job(NewJob("job", definition, NOW), now=NOW - 1)
        store.limit(Limits(NOW, NOW))
        yield store


def trigger(store: TickStore) -> None:
    store.trigger(["job"], now=NOW)
    store.claim(["w1"], "boot", now=NOW)


def test_state_is_on_the_disk_when_the_claim_is_durable(store: TickStore, tmp_path: Path) -> None:
    path = tmp_path / "state"
    store.keep = Keeper(path).draft
    with store.together():
        trigger(store)
        assert not path.exists()
    document = document_in(path)
    assert document is not None
    assert [run.state for run in document.jobs["job"].open] == ["running"]
    assert belongs(store, path.read_text())


def test_ledger_knows_the_text_of_the_step_before(store: TickStore, tmp_path: Path) -> None:
    path = tmp_path / "state"
    store.keep = Keeper(path).draft
    store.keep_all()
    before = path.read_text()
    with store.together():
        trigger(store)
    assert before != path.read_text()
    assert belongs(store, before)
    store.trigger(["job"], now=NOW + 1)
    store.keep_all()
    assert not belongs(store, before)


def test_full_disk_undoes_the_claim(store: TickStore, tmp_path: Path) -> None:
    folder = tmp_path / "away"
    store.keep = Keeper(folder / "state").draft
    store.keep_all()
    text = (folder / "state").read_text()
    (folder / "state").unlink()
    folder.rmdir()
    folder.write_text("in the way")
    store.trigger(["job"], now=NOW)
    with pytest.raises(StoreFull, match="state"), store.together():
        store.claim(["w1"], "boot", now=NOW)
    assert store.totals().running == 0
    assert belongs(store, text)
    folder.unlink()
    with store.together():
        (claim,) = store.claim(["w1"], "boot", now=NOW)
    assert f"run={claim.run.id} " in (folder / "state").read_text()


def test_what_is_undone_after_its_draft_is_written_again(store: TickStore, tmp_path: Path) -> None:
    path = tmp_path / "state"
    store.keep = Keeper(path).draft
    store.trigger(["job"], now=NOW)

    class Undone(Exception):
        pass

    keep = store.keep

    def fail(*arguments: object) -> None:
        keep(*arguments)  # type: ignore[arg-type]
        raise Undone

    store.keep = fail
    with pytest.raises(Undone), store.together():
        store.claim(["w1"], "boot", now=NOW)
    store.keep = keep
    with store.together():
        store.claim(["w1"], "boot", now=NOW)
    assert "state=running" in path.read_text()


def test_drafts_of_killed_ticks_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "state[1]"
    Draft(path, "never put")
    Draft(tmp_path / "other", "of somebody else")
    assert len(list(tmp_path.iterdir())) == 2
    Keeper(path)
    assert [entry.name.startswith(".other") for entry in tmp_path.iterdir()] == [True]


def test_file_behind_a_link_is_the_state(store: TickStore, tmp_path: Path) -> None:
    (tmp_path / "real").write_text(text_of(EMPTY))
    (tmp_path / "link").symlink_to("real")
    store.keep = Keeper(tmp_path / "link").draft
    store.keep_all()
    assert (tmp_path / "link").is_symlink()
    assert "job" in read((tmp_path / "real").read_text()).jobs


def test_planted_ledger_says_what_the_state_says(store: TickStore) -> None:
    trigger(store)
    document = store.describe()
    definition = store.job("job").definition
    store.plant(document, {"job": definition}, NOW)
    assert store.describe() == document
    assert store.trigger(["job"], now=NOW)[0].id == document.runs + 1


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"cronq-state 9\n", b"cronq-state 1\n"])
def test_what_is_no_state_is_told_with_its_path(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(StateUnreadable, match="state"):
        read_file(tmp_path / "state")
    assert read_file(tmp_path / "none") is None
    with pytest.raises(StateUnreadable):
        read_file(tmp_path)
