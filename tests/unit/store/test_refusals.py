"""Databases that cannot be used, or must not be trusted: each is refused in words, and none is changed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cronq.errors import CronqError, StoreCorrupt, StoreError, StoreFull, StoreMissing, StoreUntrusted
from cronq.store import Place, open_store
from cronq.store.location import trust_project
from tests.unit.store.builders import NOW, add, fires

IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can give files away")
NOBODY = 65534


@pytest.fixture
def database(place: Place) -> Path:
    """A sound database with one job."""
    store = open_store(place, create=True, environ={})
    add(store)
    store.close()
    return place.database


def refused(place: Place, kind: type[StoreError], match: str, **options: Any) -> StoreError:
    before = place.database.read_bytes() if place.database.is_file() else None
    with pytest.raises(kind, match=match) as caught:
        open_store(place, environ=options.pop("environ", {}), **options)
    assert type(caught.value) is kind
    if before is not None:
        assert place.database.read_bytes() == before
    return caught.value


# Files that are no databases


@pytest.mark.parametrize("options", [{}, {"create": True}, {"read_only": True}])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"this is not a database\n" * (1 + len(data) // 200),
        lambda data: data[:50],
        lambda data: data[:3000],
        lambda data: b"\0" * 16 + data[16:],
        lambda data: data[:16] + b"\xff" * 84 + data[100:],
        lambda data: data[:100] + b"\xa5" * 3996 + data[4096:],
        lambda data: b"\0" * len(data),
    ],
    ids=["text", "50 bytes", "3000 bytes", "no magic", "garbled header", "garbled schema", "zeros"],
)
def test_damaged_first_page_is_refused(
    place: Place, database: Path, damage: Callable[[bytes], bytes], options: dict[str, Any]
) -> None:
    database.write_bytes(damage(database.read_bytes()))
    error = refused(place, StoreCorrupt, "cronq.db", **options)
    assert error.hint


def test_damaged_later_page_is_found_by_a_check(place: Place, database: Path) -> None:
    store = open_store(place, environ={})
    job = store.job("job")
    for minute in range(300):
        fire_at = NOW + minute * 60_000_000
        store.launch([fires(store.job("job"), fire_at)], now=fire_at)
    store.check()
    store.close()
    pages = database.stat().st_size // 4096
    with database.open("r+b") as file:
        file.seek((pages - 2) * 4096)
        file.write(b"\xa5" * 2048)
    reopened = open_store(place, environ={})
    assert reopened.job("job").id == job.id
    with pytest.raises(StoreCorrupt, match="damaged") as caught:
        reopened.check()
    reopened.close()
    assert "backup" in caught.value.hint


def test_missing_database_is_refused_and_not_made(place: Place) -> None:
    error = refused(place, StoreMissing, "there is no database at")
    assert "cronq add" in error.hint
    refused(place, StoreMissing, "there is no database at", read_only=True)
    assert list(place.database.parent.iterdir()) == []


def test_folder_in_its_place_is_refused(place: Place) -> None:
    place.database.mkdir()
    refused(place, StoreFull, "cannot be read or written")


# While it is open


def test_verify_finds_a_database_that_was_unlinked(place: Place, database: Path) -> None:
    store = open_store(place, environ={})
    store.verify()
    database.unlink()
    with pytest.raises(StoreMissing, match="has vanished"):
        store.verify()
    store.close()


def test_verify_finds_a_database_that_was_replaced(place: Place, database: Path) -> None:
    store = open_store(place, environ={})
    other = database.with_name("other.db")
    shutil.copy(database, other)
    other.replace(database)
    with pytest.raises(StoreMissing, match="was replaced"):
        store.verify()
    store.close()


def test_read_only_store_reads_and_refuses_to_write(place: Place, database: Path) -> None:
    writer = open_store(place, environ={})
    store = open_store(place, read_only=True, environ={})
    assert store.job("job").name == "job"
    add(writer, "another")
    assert len(store.overviews()) == 2
    with pytest.raises(StoreFull, match="readonly"):
        store.trigger(["job"], now=NOW)
    assert store.totals().queued == 0
    store.close()
    writer.close()


# Whom to trust


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_file_that_others_can_write_is_refused(place: Place, database: Path, mode: int) -> None:
    database.chmod(mode)
    error = refused(place, StoreUntrusted, "can be written by other users")
    assert error.hint == f"if you trust what is in it: chmod go-w {database}"
    refused(place, StoreUntrusted, "can be written by other users", read_only=True)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_file_that_others_can_at_most_read_is_fine(place: Place, database: Path, mode: int) -> None:
    database.chmod(mode)
    open_store(place, environ={}).close()


def test_folder_that_everybody_can_write_is_refused(place: Place, database: Path) -> None:
    place.database.parent.chmod(0o777)
    error = refused(place, StoreUntrusted, "can be written by other users")
    assert str(place.database.parent) in error.hint


def test_folder_that_everybody_can_write_gets_no_database(place: Place) -> None:
    place.database.parent.chmod(0o777)
    refused(place, StoreUntrusted, "can be written by other users", create=True)
    assert list(place.database.parent.iterdir()) == []


def test_sticky_folder_is_fine(place: Place) -> None:
    place.database.parent.chmod(0o1777)
    open_store(place, create=True, environ={}).close()


def test_folder_that_the_own_group_can_write_is_fine(place: Place) -> None:
    os.chown(place.database.parent, -1, os.getegid())
    place.database.parent.chmod(0o770)
    open_store(place, create=True, environ={}).close()


@needs_root
def test_folder_that_another_group_can_write_is_refused(place: Place, database: Path) -> None:
    os.chown(place.database.parent, -1, NOBODY)
    place.database.parent.chmod(0o770)
    refused(place, StoreUntrusted, "can be written by other users")


@needs_root
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_belongs_to_somebody_else_is_refused(place: Place, database: Path, what: str) -> None:
    path = database if what == "file" else database.parent
    os.chown(path, NOBODY, -1)
    error = refused(place, StoreUntrusted, f"{path} belongs to nobody, not to you")
    assert error.hint == f"if it is yours: sudo chown root {path}"
    refused(place, StoreUntrusted, "belongs to nobody", read_only=True)


@needs_root
def test_owner_without_a_name_is_named_by_number(place: Place, database: Path) -> None:
    os.chown(database, 4_123_456, -1)
    refused(place, StoreUntrusted, "belongs to user 4123456")


def test_project_that_was_only_found_is_refused_until_it_is_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "project" / ".cronq"
    folder.mkdir(parents=True, mode=0o700)
    found = Place(folder / "cronq.db", folder / "logs", "nearest .cronq", found=True)
    environ = {"HOME": str(tmp_path)}
    error = refused(found, StoreUntrusted, "not trusted yet", create=True, environ=environ)
    assert error.hint == f"if it is yours: cronq init {tmp_path / 'project'}"
    assert list(folder.iterdir()) == [], "and nothing is made in it"
    trust_project(folder, environ)
    open_store(found, create=True, environ=environ).close()


# As an ordinary user, whom permissions bind


def _open_as_nobody(database: Path, options: dict[str, bool], said: multiprocessing.SimpleQueue[Any]) -> None:
    if IS_ROOT:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        store = open_store(Place(database, database.parent / "logs", "test"), environ={}, **options)
        said.put([job.job.name for job in store.overviews()])
        store.close()
    except CronqError as error:
        said.put([type(error).__name__, str(error), error.hint])
    except BaseException:
        said.put([traceback.format_exc()])
    os._exit(0)


@dataclass
class Ordinary:
    """A folder of an ordinary user: this one, or `nobody` when this one is root."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "cronq.db"

    def give(self) -> None:
        if IS_ROOT:
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, NOBODY, NOBODY)

    def open(self, **options: bool) -> list[str]:
        """Open the database as that user; return the names of jobs, or the error, its words and its hint."""
        # Forked, because an ordinary user may not be able to read this interpreter or checkout.
        context = multiprocessing.get_context("fork")
        said = context.SimpleQueue()
        process = context.Process(target=_open_as_nobody, args=(self.database, options, said))
        process.start()
        process.join(60)
        assert process.exitcode == 0
        answer: list[str] = said.get()
        return answer


@pytest.fixture
def ordinary() -> Iterator[Ordinary]:
    # Not in tmp_path, which only its owner can reach.
    with tempfile.TemporaryDirectory() as outer:
        Path(outer).chmod(0o755)
        folder = Path(outer, "cronq")
        folder.mkdir(0o700)
        store = open_store(Place(folder / "cronq.db", folder / "logs", "test"), create=True, environ={})
        add(store)
        store.close()
        user = Ordinary(folder)
        user.give()
        yield user
        folder.chmod(0o700)


def test_unreadable_file_says_so(ordinary: Ordinary) -> None:
    ordinary.database.chmod(0)
    name, message, _ = ordinary.open()
    assert (name, message) == ("StoreFull", f"{ordinary.database} cannot be written: permission denied")
    name, message, _ = ordinary.open(read_only=True)
    assert name == "StoreFull"
    assert "cannot be read" in message


def test_unreachable_folder_says_so(ordinary: Ordinary) -> None:
    ordinary.folder.chmod(0)
    for options in ({}, {"create": True}, {"read_only": True}):
        name, message, _ = ordinary.open(**options)
        assert name in {"StoreFull", "StoreError"}
        assert "Permission denied" in message


def test_read_only_folder_can_be_read_and_not_written(ordinary: Ordinary) -> None:
    ordinary.folder.chmod(0o500)
    before = ordinary.database.read_bytes()
    assert ordinary.open(read_only=True) == ["job"]
    name, message, _ = ordinary.open()
    assert (name, message) == ("StoreFull", f"{ordinary.database} cannot be written: permission denied")
    assert ordinary.database.read_bytes() == before
    assert [path.name for path in ordinary.folder.iterdir()] == ["cronq.db"]


def test_read_only_file_can_be_read_and_not_written(ordinary: Ordinary) -> None:
    ordinary.database.chmod(0o400)
    assert ordinary.open(read_only=True) == ["job"]
    assert ordinary.open()[0] == "StoreFull"


def test_read_only_folder_gets_no_database(ordinary: Ordinary) -> None:
    ordinary.database.unlink()
    ordinary.folder.chmod(0o500)
    name, message, hint = ordinary.open(create=True)
    assert (name, "Permission denied" in message, "--db" in hint) == ("StoreFull", True, True)
    assert list(ordinary.folder.iterdir()) == []


@needs_root
def test_database_of_root_can_be_read_while_root_writes(ordinary: Ordinary) -> None:
    for path in (ordinary.folder, ordinary.database):
        os.chown(path, 0, 0)
    ordinary.folder.chmod(0o755)
    ordinary.database.chmod(0o644)
    writer = open_store(Place(ordinary.database, ordinary.folder / "logs", "test"), environ={})
    add(writer, "newest")
    assert ordinary.open(read_only=True) == ["job", "newest"]
    writer.close()
    assert ordinary.open(read_only=True) == ["job", "newest"]


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_a_log_that_others_could_have_planted_is_refused(place: Place, database: Path, suffix: str) -> None:
    planted = database.with_name(database.name + suffix)
    planted.write_bytes(b"")
    planted.chmod(0o666)
    with pytest.raises(StoreUntrusted, match="planted"):
        open_store(place, environ={})


@pytest.mark.parametrize("which", ["attempts", "logs"])
def test_a_folder_that_others_can_write_is_refused(place: Place, database: Path, which: str) -> None:
    folder: Path = getattr(place, which)
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(StoreUntrusted, match="planted"):
        open_store(place, environ={})
