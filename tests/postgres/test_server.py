"""The tests' own server does what the tests build upon."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import psycopg
import pytest

from cronq.store.postgres.cluster import answers, is_alive, run_as
from cronq.store.postgres.embedded import programs_of_the_wheel, within_reach
from tests.postgres.server import Server, owner_for_tests, programs, running_server


def test_databases_are_new_and_empty(postgres: Server) -> None:
    first, second = postgres.fresh_database(), postgres.fresh_database()
    postgres.execute(first, "CREATE TABLE t (x int)")
    assert first != second
    assert postgres.execute(second, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    postgres.drop(first)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        postgres.execute(first, "SELECT 1")
    postgres.drop(second)


def test_what_is_committed_is_there_after_a_crash(own_postgres: Server) -> None:
    url, before = own_postgres.fresh_database(), own_postgres.pid
    own_postgres.execute(url, "CREATE TABLE t AS SELECT 7 AS x")
    own_postgres.restart(immediate=True)
    assert own_postgres.pid != before
    assert own_postgres.execute(url, "SELECT x FROM t") == [(7,)]
    own_postgres.stop()
    with pytest.raises(psycopg.OperationalError):
        own_postgres.execute(url, "SELECT 1")


def test_a_version_that_is_not_installed_is_said() -> None:
    with pytest.raises(AssertionError, match=r"PostgreSQL 3 is not installed .* unset CRONQ_TEST_POSTGRES"):
        programs("3")


def test_nothing_is_left_of_a_server() -> None:
    with running_server() as server:
        found, data = server.cluster.start(server.cluster.data.parent / "s"), server.cluster.data
    assert not data.parent.exists()
    assert not answers(found)
    assert not is_alive(found, data)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as somebody else")
def test_programs_in_a_closed_folder_are_copied_to_where_the_servers_user_can_go(tmp_path: Path) -> None:
    owner = owner_for_tests()
    assert owner is not None
    found = programs_of_the_wheel()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    package = found.parents[1]
    for source in (package, package.with_name(f"{package.name}.libs")):
        if source.exists():
            shutil.copytree(source, closed / source.name, symlinks=True)
    programs = closed / found.relative_to(package.parent)
    folder = Path(tempfile.mkdtemp(prefix="cronq-pg-"))
    try:
        folder.chmod(0o711)
        assert run_as(owner, "test", "-x", str(programs / "postgres")).returncode != 0
        reached = within_reach(owner, programs, folder)
        assert reached.is_relative_to(folder)
        assert within_reach(owner, programs, folder) == reached
        assert run_as(owner, str(reached / "initdb"), "--version").returncode == 0
        assert within_reach(None, programs, folder) == programs
    finally:
        shutil.rmtree(folder)
