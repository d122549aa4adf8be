"""Where the database is looked for, what lies beside it, and which file systems will not do."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cronq.errors import StoreError, UsageError
from cronq.store import Place, find_place
from cronq.store.location import (
    NETWORK_FILE_SYSTEMS,
    check_file_system,
    trust_project,
    trusted_projects,
)


@dataclass(frozen=True)
class Case:
    """A situation; whatever is a path in it is relative to a root."""

    expected: str
    rule: str
    explicit: str | None = None
    environ: dict[str, str] = field(default_factory=dict)
    cwd: str = "home/u/work/deep"


HOME = {"HOME": "home/u"}
CASES = [
    Case("home/u/work/deep/x.db", "--db", "x.db", {**HOME, "CRONQ_DB": "y.db"}),
    Case("srv/x.db", "--db", "/srv/x.db", HOME),
    Case("home/u/x.db", "--db", "~/x.db", HOME),
    Case("home/u/work/x.db", "--db", "../x.db", HOME),
    Case("srv/y.db", "CRONQ_DB", None, {**HOME, "CRONQ_DB": "/srv/y.db", "STATE_DIRECTORY": "/state"}),
    # Projects: the nearest one up to the home directory.
    Case("home/u/work/.cronq/cronq.db", "nearest .cronq", None, {**HOME, "STATE_DIRECTORY": "/state"}),
    Case("home/u/work/.cronq/cronq.db", "nearest .cronq", None, {**HOME, "CRONQ_DB": ""}),
    Case("home/u/work/deep/er/.cronq/cronq.db", "nearest .cronq", None, HOME, "home/u/work/deep/er"),
    Case("home/u/.cronq/cronq.db", "nearest .cronq", None, HOME, "home/u/play"),
    Case("home/u/.cronq/cronq.db", "nearest .cronq", None, HOME, "home/u"),
    Case("home/.cronq/cronq.db", "nearest .cronq", None, HOME, "home/v/work"),
    Case("home/v/.local/share/cronq/cronq.db", "user default", None, {"HOME": "home/v"}, "home/v/work"),
    Case("home/v/.local/share/cronq/cronq.db", "user default", None, {"HOME": "link-to-v"}, "home/v/work"),
    # systemd, which may list several
    Case("state/cronq.db", "STATE_DIRECTORY", None, {"HOME": "home/v", "STATE_DIRECTORY": "/state"}, "srv"),
    Case("state/cronq.db", "STATE_DIRECTORY", None, {"STATE_DIRECTORY": "/state:/other"}, "srv"),
    # The user's own
    Case("home/u/.local/share/cronq/cronq.db", "user default", None, HOME, "srv"),
    Case("data/cronq/cronq.db", "user default", None, {**HOME, "XDG_DATA_HOME": "/data"}, "srv"),
    Case("home/u/.local/share/cronq/cronq.db", "user default", None, {**HOME, "XDG_DATA_HOME": ""}, "srv"),
    Case("home/u/.local/share/cronq/cronq.db", "user default", None, HOME, "srv/vanished"),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("home/u/work/.cronq", "home/u/work/deep/er/.cronq", "home/u/.cronq", "home/u/play"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("home/v/work", "home/.cronq", "srv", "state"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link-to-v").symlink_to(tmp_path / "home/v")
    return tmp_path


def environ_of(case: Case, root: Path) -> dict[str, str]:
    rooted = {}
    for name, value in case.environ.items():
        is_relative = name == "HOME" and bool(value)
        rooted[name] = str(root / value) if is_relative else value.replace("/", f"{root}/", 1)
    return rooted


@pytest.mark.parametrize("case", CASES, ids=[f"{n}: {case.rule}" for n, case in enumerate(CASES)])
def test_find_place(root: Path, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = environ_of(case, root)
    monkeypatch.setenv("HOME", environ.get("HOME", str(root)))
    explicit = case.explicit
    if explicit is not None and explicit.startswith("/"):
        explicit = f"{root}{explicit}"
    place = find_place(explicit, environ, root / case.cwd)
    assert str(place.database) == f"{root}/{case.expected}"
    assert place.rule == case.rule
    assert place.found == (case.rule == "nearest .cronq")


def test_find_place_stops_at_a_border_between_file_systems() -> None:
    # /proc and /dev are file systems of their own nearly everywhere, and nobody has a /.cronq.
    inside = next((p for p in map(Path, ("/proc/self", "/dev/shm")) if p.is_dir()), None)
    if inside is None or inside.stat().st_dev == Path("/").stat().st_dev:
        pytest.skip("there is no border here")
    assert find_place(None, {"HOME": "/nowhere"}, inside).rule == "user default"


def test_find_place_of_two_paths_to_one_file_is_one_place(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "link.db").symlink_to("real/x.db")
    places = [
        find_place(name, {}, tmp_path)
        for name in ("real/x.db", "link/x.db", "link.db", "./real/../real/x.db")
    ]
    assert len({(place.database, place.lock, place.logs) for place in places}) == 1


@pytest.mark.parametrize(
    ("explicit", "match"),
    [
        ("", "--db is empty"),
        (".", "--db names a folder"),
        ("folder", "--db names a folder"),
        ("~no-such-user-at-all/x.db", "--db is not the path of a file"),
        ("circle/x.db", "--db is not the path of a file"),
        ("a\0b", "--db is not the path of a file"),
    ],
)
def test_find_place_refuses_what_is_no_path_of_a_file(tmp_path: Path, explicit: str, match: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(UsageError, match=match):
        find_place(explicit, {}, tmp_path)


@pytest.mark.parametrize("explicit", ["x" * 300, "x/" * 3000 + "x"])
def test_find_place_of_a_path_that_is_too_long_leaves_it_to_the_opening(
    tmp_path: Path, explicit: str
) -> None:
    assert find_place(explicit, {}, tmp_path).database.name.startswith("x")


def test_find_place_names_the_variable_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="CRONQ_DB names a folder") as caught:
        find_place(None, {"CRONQ_DB": str(tmp_path)}, tmp_path)
    assert caught.value.hint == f"try {tmp_path / 'cronq.db'}"


def test_place_names_the_files_beside_the_database() -> None:
    place = Place(Path("/d/my.db"), Path("/d/logs"), "test")
    assert (place.lock, place.bell) == (Path("/d/my.db.lock"), Path("/d/my.db.bell"))
    assert place.attempts == Path("/d/my.db.attempts")


@pytest.mark.parametrize(
    ("run_id", "expected"),
    [
        (7, "000000/7.1.log"),
        (999, "000000/999.1.log"),
        (1000, "000001/1000.1.log"),
        (10**9, "1000000/1000000000.1.log"),
    ],
)
def test_place_keeps_a_thousand_runs_to_a_folder_of_logs(run_id: int, expected: str) -> None:
    assert Place(Path("/d/my.db"), Path("/l"), "test").log_file(run_id, 1) == Path("/l") / expected


def test_logs_of_the_user_are_state_not_data(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "s")}
    assert find_place(None, environ, Path("/")).logs == tmp_path / "s" / "cronq" / "logs"
    del environ["XDG_STATE_HOME"]
    assert find_place(None, environ, Path("/")).logs == tmp_path / ".local/state/cronq/logs"


# Trusted projects


@pytest.mark.parametrize("variable", ["HOME", "XDG_CONFIG_HOME"])
def test_trust_is_kept_in_the_users_configuration(tmp_path: Path, variable: str) -> None:
    environ = {"HOME": str(tmp_path / "home"), variable: str(tmp_path / "home")}
    assert trusted_projects(environ) == frozenset()
    for name in ("one", "two words", "one"):
        trust_project(tmp_path / name, environ)
    assert trusted_projects(environ) == {str(tmp_path / "one"), str(tmp_path / "two words")}
    folder = tmp_path / "home" / (".config" if variable == "HOME" else "")
    assert len((folder / "cronq" / "trusted").read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.parametrize("name", ["a\x0cb", "a\u2028b", "a\x85b", "caf\udce9"])
def test_trust_of_a_folder_with_an_unusual_name(tmp_path: Path, name: str) -> None:
    environ = {"HOME": str(tmp_path)}
    trust_project(tmp_path / name, environ)
    trust_project(tmp_path / "plain", environ)
    assert trusted_projects(environ) == {str(tmp_path / name), str(tmp_path / "plain")}


def test_trust_of_a_folder_that_would_name_another_is_refused(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    with pytest.raises(UsageError, match="line break"):
        trust_project(tmp_path / "a\n/etc/.cronq", environ)
    assert trusted_projects(environ) == frozenset()


# Network file systems


def mounts(tmp_path: Path, kind: str) -> Path:
    """Write a table as proc(5) has it, in which the folder lies on such a file system."""
    device = tmp_path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 0:99 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        f"36 22 {number} / /mnt rw,noatime master:1 - {kind} server:/export rw\n",
        encoding="utf-8",
    )
    return table


@pytest.mark.parametrize("kind", sorted(NETWORK_FILE_SYSTEMS))
def test_network_file_system_is_refused_with_a_reason(tmp_path: Path, kind: str) -> None:
    place = Place(tmp_path / "cronq.db", tmp_path / "logs", "test")
    table = mounts(tmp_path, kind)
    with pytest.raises(StoreError, match=f"network file system .{kind}.") as caught:
        check_file_system(place, {}, mounts=table)
    assert "CRONQ_DB_ALLOW_NETWORK=1" in caught.value.hint
    check_file_system(place, {"CRONQ_DB_ALLOW_NETWORK": "1"}, mounts=table)


@pytest.mark.parametrize("kind", ["ext4", "btrfs", "tmpfs", "overlay", "fuse.bindfs"])
def test_local_file_system_is_fine(tmp_path: Path, kind: str) -> None:
    place = Place(tmp_path / "cronq.db", tmp_path / "logs", "test")
    check_file_system(place, {}, mounts=mounts(tmp_path, kind))


@pytest.mark.parametrize("text", ["", "nonsense\n", "1 2\n", "36 22 0:0 / / rw - \n"])
def test_unknown_file_system_is_taken_for_local(tmp_path: Path, text: str) -> None:
    place = Place(tmp_path / "cronq.db", tmp_path / "logs", "test")
    table = tmp_path / "mountinfo"
    table.write_text(text, encoding="utf-8")
    check_file_system(place, {}, mounts=table)
    check_file_system(place, {}, mounts=tmp_path / "missing")
