"""What `cronq doctor` sees, on a place that is well and on one that is not."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq import lock
from cronq.doctor import Finding, examine
from cronq.model import Command, CommandKind, Definition
from cronq.store import NewJob, Place, Store, open_store


@pytest.fixture
def place(tmp_path: Path) -> Place:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return Place(home / "cronq.db", home / "logs", "test")


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    store = open_store(place, create=True)
    yield store
    store.close()


def definition(home: Path, **fields: object) -> Definition:
    base = Definition(Command(CommandKind.ARGV, ("true",)), "@daily", cwd=str(home))
    return base._replace(**fields)  # type: ignore[arg-type]


def levels(found: Iterator[Finding]) -> dict[str, str]:
    worst: dict[str, str] = {}
    for finding in found:
        if worst.get(finding.check, "ok") == "ok":
            worst[finding.check] = finding.level
    return worst


def test_all_is_well_but_for_the_scheduler_that_is_not_running(place: Place, store: Store) -> None:
    store.add_job(NewJob("a", definition(place.logs.parent), 1), now=0)
    found = levels(examine(place, {}))
    assert found.pop("scheduler") == "warning"
    assert set(found.values()) == {"ok"}
    assert {"zone data", "sqlite", "files", "disk", "database", "jobs"} == set(found)


def test_a_job_whose_user_is_gone_is_named(place: Place, store: Store) -> None:
    store.add_job(NewJob("a", definition(place.logs.parent, user="no-such-user"), 1), now=0)
    (finding,) = [found for found in examine(place, {}) if found.check == "job"]
    assert (finding.level, finding.message) == ("error", "a: there is no user `no-such-user`")
    assert finding.hint == "cronq set a --user NAME"


def test_pings_need_a_library(place: Place, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def pings() -> list[Finding]:
        return [found for found in examine(place, {}) if found.check == "pings"]

    store.add_job(NewJob("a", definition(place.logs.parent), 1), now=0)
    assert pings() == []
    store.add_job(NewJob("b", definition(place.logs.parent, ping="https://h/SECRET"), 1), now=0)
    monkeypatch.setitem(sys.modules, "urllib3", None)
    (finding,) = pings()
    assert (finding.level, finding.hint) == ("error", "pip install 'cronq-cli[ping]'")
    assert finding.message == "b has --ping, and nothing is sent: urllib3 is missing"
    monkeypatch.delitem(sys.modules, "urllib3")
    if importlib.util.find_spec("urllib3") is not None:
        assert [found.level for found in pings()] == ["ok"]


def test_no_database_yet_is_a_warning_that_says_how_to_begin(place: Place) -> None:
    (finding,) = [f for f in examine(place, {}) if f.check == "database"]
    assert (finding.level, finding.hint) == ("warning", "the first `cronq add` creates it")


def test_garbage_in_place_of_the_database_is_an_error(place: Place) -> None:
    place.database.write_bytes(b"garbage" * 1000)
    place.database.chmod(0o600)
    assert levels(examine(place, {}))["database"] == "error"


def test_a_damaged_page_is_found(place: Place, store: Store) -> None:
    for number in range(300):
        store.add_job(NewJob(f"job{number}", definition(place.logs.parent), 1), now=0)
    store.close()
    content = bytearray(place.database.read_bytes())
    middle = len(content) // 4096 // 2 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    place.database.write_bytes(content)
    (finding,) = [f for f in examine(place, {}) if f.check == "database"]
    assert finding.level == "error"
    assert "damaged" in finding.message


def test_files_that_others_can_read_are_a_warning_with_the_command_to_close_them(
    place: Place, store: Store
) -> None:
    place.database.chmod(0o644)
    (finding,) = [f for f in examine(place, {}) if f.check == "files"]
    assert (finding.level, finding.hint) == ("warning", f"chmod go= {place.database}")


def test_a_planted_link_is_an_error(place: Place, store: Store) -> None:
    place.lock.symlink_to("/etc/passwd")
    assert levels(examine(place, {}))["files"] == "error"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tz": "Mars/Olympus"}, "sick: unknown time zone `Mars/Olympus`"),
        ({"cwd": "/nowhere/at/all"}, "sick: its working directory /nowhere/at/all is gone"),
        ({"env_file": "/nowhere/env"}, "sick: /nowhere/env cannot be read"),
        ({"stdin": "/nowhere/in"}, "sick: /nowhere/in cannot be read"),
    ],
)
def test_jobs_that_cannot_run_are_named(
    place: Place, store: Store, fields: dict[str, object], message: str
) -> None:
    store.add_job(NewJob("sick", definition(place.logs.parent, **fields), 1), now=0)
    assert message in [f.message for f in examine(place, {}) if f.level == "error"]


def test_an_env_file_that_others_can_read_is_named(place: Place, store: Store, tmp_path: Path) -> None:
    secrets = tmp_path / "env"
    secrets.write_text("A=1")
    secrets.chmod(0o644)
    store.add_job(NewJob("open", definition(tmp_path, env_file=str(secrets)), 1), now=0)
    assert f"open: others can read {secrets}" in [f.message for f in examine(place, {})]


def test_a_job_whose_definition_cannot_be_read_is_named(place: Place, store: Store) -> None:
    store.add_job(NewJob("sick", definition(place.logs.parent), 1), now=0)
    store.add_job(NewJob("well", definition(place.logs.parent), 1), now=0)
    db = sqlite3.connect(place.database)
    db.execute("UPDATE definition SET document = '{}' WHERE job_id = 1")
    db.commit()
    db.close()
    (finding,) = [f for f in examine(place, {}) if f.check == "job"]
    assert finding.level == "error"
    assert "definition of `sick`" in finding.message
    assert "cronq remove sick" in finding.hint


def test_many_logs_without_any_limits_are_a_warning(
    place: Place, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place.logs / "000000"
    folder.mkdir(mode=0o700, parents=True)
    (folder / "1.1.log").write_bytes(b"x" * 100_000)
    store.add_job(NewJob("a", definition(place.logs.parent), 1), now=0)
    full = os.statvfs(place.logs.parent)
    assert "logs" not in levels(examine(place, {}))
    monkeypatch.setattr("cronq.doctor.MANY_LOGS_BYTES", 50_000)
    assert "logs" not in levels(examine(place, {})), "there is room for much more"
    monkeypatch.setattr(os, "statvfs", lambda _path: NearlyFull(full))
    (finding,) = [found for found in examine(place, {}) if found.check == "logs"]
    assert finding.level == "warning"
    assert "--keep" in finding.hint
    store.add_job(NewJob("b", definition(place.logs.parent, keep="30d"), 1), now=0)
    assert "logs" not in levels(examine(place, {}))


class NearlyFull:
    """A file system with little room left."""

    def __init__(self, real: os.statvfs_result) -> None:
        self.f_frsize = real.f_frsize
        self.f_bavail = 180_000 // real.f_frsize


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_files_taken_from_under_a_scheduler_are_an_error(place: Place, store: Store, suffix: str) -> None:
    release = lock.hold(place.lock)
    Path(f"{place.database}{suffix}").unlink()
    found = [f for f in examine(place, {}) if f.check == "database" and f.level == "error"]
    assert f"a scheduler runs, but {place.database}{suffix} was removed" in [f.message for f in found]
    assert "start it again" in found[0].hint
    release()


def test_what_was_saved_of_a_lost_database_is_named(place: Place, store: Store) -> None:
    rescued = place.database.with_name("cronq.db.rescued-20260102T030405Z")
    store.backup(rescued, now=0)
    (finding,) = [f for f in examine(place, {}) if f.level == "warning" and f.check == "database"]
    assert f"cronq restore {rescued}" in finding.hint


@pytest.mark.parametrize("which", ["logs", "attempts"])
def test_a_file_in_the_place_of_a_folder_is_an_error(place: Place, store: Store, which: str) -> None:
    getattr(place, which).write_text("")
    getattr(place, which).chmod(0o600)
    assert levels(examine(place, {}))["files"] == "error"
