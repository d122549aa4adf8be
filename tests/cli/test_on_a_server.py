"""Every command does what is right when the ledger is in a server, and none shows a password."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cronq.cli._complete import words
from cronq.errors import ExitCode
from cronq.store.postgres.address import parse_address
from tests.cli.conftest import PASSWORD
from tests.cli.test_db import _server_store, put_node
from tests.cli.world import Answer, World
from tests.postgres.server import Server

DEAD = f"postgresql://cronq:{PASSWORD}@127.0.0.1:1/none"
"""Nobody listens there."""


def checks(answer: Answer) -> dict[str, tuple[str, str]]:
    found = json.loads(answer.out)["findings"]
    return {one["check"]: (one["level"], one["message"]) for one in found}


def test_the_first_add_says_what_it_made(server_world: World) -> None:
    answer = server_world.run("add", "hello", "every 1h", "--", "true")
    assert answer.code == 0, answer.err
    assert answer.err.startswith("created postgresql://cronq@/cronq?host=")
    assert answer.err.endswith("hint: no scheduler is running; start one with `cronq run`\n")
    assert "created" not in server_world.run("add", "other", "every 1h", "--", "true").err


def test_a_living_node_that_fires_is_a_scheduler(server_world: World) -> None:
    server_world.run("add", "hello", "every 1h", "--", "true")
    store = _server_store(server_world, server_world.variables["CRONQ_DB"])
    put_node(store, fires=False)
    assert "no scheduler is running" in server_world.run("trigger", "hello").err
    assert "scheduler" in server_world.run("why", "hello").out
    put_node(store)
    assert "no scheduler" not in server_world.run("trigger", "hello").err
    assert checks(server_world.run("doctor", "--json", tty=False))["scheduler"] == (
        "ok",
        "running: pid 4711 on web1 (a worker), pid 4711 on web1",
    )
    store.connection.plain("UPDATE node SET lease_until = cronq_now() - 1")
    store.close()
    assert "no scheduler is running" in server_world.run("trigger", "hello").err


def test_audit_notes_runs_of_which_nobody_takes_care(server_world: World) -> None:
    server_world.run("add", "hello", "every 1h", "--", "true")
    server_world.run("trigger", "hello")
    server_world.start()
    assert "1 run not ended, and no scheduler is there" in server_world.run("audit").err
    store = _server_store(server_world, server_world.variables["CRONQ_DB"])
    put_node(store)
    store.close()
    assert "not ended" not in server_world.run("audit").err


def test_prune_removes_runs_and_what_they_printed(server_world: World) -> None:
    server_world.run("add", "hello", "every 1h", "--", "true")
    for _ in range(4):
        server_world.run("trigger", "hello")
        server_world.play(output="x" * 5000)
    answer = server_world.run("prune", "--keep", "1", "--yes")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("removed 3 runs")
    assert server_world.run("runs", "-q", tty=False).out == "4\n"


@pytest.mark.parametrize(
    ("command", "error", "hint"),
    [
        (("backup", "copy.db"), "`backup` copies a database file", "pg_dump --schema="),
        (("restore", "copy.db"), "`restore` puts a database file back", "pg_restore"),
        (("tick",), "`tick` works with a database file", "cronq run --until-idle"),
        (("state",), "`state export` works with a database file", "--db FILE"),
        (("state", "import", "x"), "`state import` works with a database file", "--db FILE"),
        (("lock", "gpu", "--", "true"), "named locks of commands outside need", "--lock"),
    ],
)
def test_what_needs_a_file_is_refused(
    server_world: World, command: tuple[str, ...], error: str, hint: str
) -> None:
    server_world.run("db", "migrate")
    answer = server_world.run(*command)
    assert answer.code == ExitCode.USAGE
    assert error in answer.err
    assert hint in answer.err.splitlines()[-1]
    assert not [path for path in (server_world.root / "home").rglob("*") if path.is_file()]


def test_init_refuses_a_server_that_is_named(world: World, url: str) -> None:
    answer = world.run("init", "--db", url)
    assert (answer.code, "cronq db migrate" in answer.err) == (ExitCode.USAGE, True)


def test_locks_are_shown_and_set(server_world: World) -> None:
    assert server_world.run("lock", "gpu", "--holders", "2").out == "added lock gpu: 2 at a time\n"
    assert server_world.run("lock", "gpu", "--remove").out == "removed lock gpu\n"


def test_completion_is_quick_and_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqlite3.connect", lambda *_, **__: pytest.fail("connected"))
    for kind in ("jobs", "runs"):
        assert list(words(kind, "", {"CRONQ_DB": DEAD, "HOME": "/"})) == []


READING = [
    ("list",), ("show", "hello"), ("runs",), ("why", "hello"), ("overdue", "--within", "2h"), ("export",),
    ("next", "hello"), ("logs", "hello"), ("check",), ("audit",), ("doctor",), ("status",), ("db",),
    ("lock",), ("calendars",), ("prune", "--dry-run"), ("simulate",), ("list", "--json"),
    ("doctor", "--json"), ("status", "--json"), ("db", "--json"), ("show", "nobody"), ("backup", "x"),
    ("tick",), ("run", "--dry-run"), ("add", "hello", "every 1h", "--", "true"), ("pause", "hello"),
    ("resume", "hello"), ("trigger", "hello"), ("set", "hello", "--retries", "1"), ("cancel", "2"),
    ("retry", "1"), ("remove", "hello"), ("db", "migrate"), ("db", "move", "x.db", "--plan"),
    ("db", "move", "--forget"),
]  # fmt: skip


@pytest.mark.parametrize("tty", [True, False])
def test_no_command_shows_the_password(server_world: World, tty: bool) -> None:
    server_world.run("add", "hello", "every 1h", "--", "true")
    server_world.run("trigger", "hello")
    server_world.play()
    for command in READING:
        answer = server_world.run(*command[:1], "--verbose", *command[1:], tty=tty)
        assert answer.code != ExitCode.BUG, (command, answer.err)
        assert PASSWORD not in answer.out + answer.err, command


@pytest.mark.parametrize(
    "address",
    [
        DEAD,
        DEAD + "?nonsense=1",
        DEAD.replace("127.0.0.1:1", "no-such-host.invalid"),
        DEAD.replace(PASSWORD, PASSWORD + "%zz"),
        DEAD.replace(PASSWORD, PASSWORD + "%00"),
        DEAD + f"?sslpassword={PASSWORD}&passfile={PASSWORD}",
        DEAD + f"#{PASSWORD}",
        DEAD.replace(":1/", ":x/"),
        DEAD.replace("postgresql", "postgresq"),
    ],
)
def test_no_error_shows_the_password(world: World, address: str, tmp_path: Path) -> None:
    world.variables["CRONQ_DEBUG"] = ""
    for command in (
        ("list",),
        ("add", "x", "@daily", "--", "true"),
        ("doctor",),
        ("db", "url"),
        ("db", address),
    ):
        answer = world.run("--db", address, "--verbose", *command)
        assert answer.code in {ExitCode.FAILED, ExitCode.USAGE, ExitCode.STORE}, answer.err
        assert PASSWORD not in answer.out + answer.err
    moved = world.run("db", "move", address, "--verbose")
    assert PASSWORD not in moved.out + moved.err


def test_a_bug_report_does_not_hold_the_password(
    server_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server_world.variables["CRONQ_DEBUG"] = ""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken(*_: object, **__: object) -> None:
        raise psycopg.ProgrammingError("boom")

    server_world.run("db", "migrate")
    monkeypatch.setattr("cronq.store.postgres.store.PostgresStore.overviews", broken)
    assert server_world.run("list").code == ExitCode.BUG
    (kept,) = tmp_path.glob("cronq-bug-*")
    assert "boom" in kept.read_text()
    assert PASSWORD not in kept.read_text()


def test_without_psycopg_it_is_said_what_to_install(
    server_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for command in (("list",), ("db",), ("add", "x", "@daily", "--", "true")):
        answer = server_world.run(*command)
        assert answer.code == ExitCode.STORE
        assert "psycopg is missing\nhint: pip install 'cronq-cli[postgres]'\n" in answer.err


# What libpq finds by itself


@pytest.fixture
def guest(postgres: Server) -> Iterator[str]:
    """The address of a user who has to give a password; without it."""
    rules = postgres.cluster.data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"local all guest scram-sha-256\n{before}")
    postgres.execute(postgres.url, f"CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'")
    postgres.execute(postgres.url, "GRANT CREATE ON DATABASE cronq TO guest")
    postgres.execute(postgres.url, "SELECT pg_reload_conf()")
    yield postgres.url.replace("cronq@", "guest@", 1) + "&schema=of_guest"
    postgres.execute(postgres.url, "DROP OWNED BY guest CASCADE")
    postgres.execute(postgres.url, "DROP ROLE guest")
    rules.write_text(before)
    postgres.execute(postgres.url, "SELECT pg_reload_conf()")


def test_a_schema_that_somebody_else_has_made_will_do(world: World, guest: str, postgres: Server) -> None:
    """Of a role that may make none itself."""
    postgres.execute(postgres.url, "REVOKE CREATE ON DATABASE cronq FROM guest")
    postgres.execute(postgres.url, "CREATE SCHEMA of_guest AUTHORIZATION guest")
    world.variables["CRONQ_DB"] = guest.replace("guest@", f"guest:{PASSWORD}@", 1)
    assert world.run("db", "migrate").code == 0
    assert world.run("add", "job", "@daily", "--", "true").code == 0


def test_the_password_file_and_variable_are_read(
    world: World, guest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    answer = world.run("--db", guest, "db")
    assert answer.code == ExitCode.STORE
    assert "no password supplied" in answer.err
    file = tmp_path / "pgpass"
    file.write_text(f"*:*:*:guest:{PASSWORD}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    assert world.run("--db", guest, "db", "migrate").code == 0
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert world.run("--db", guest, "list").code == 0


def test_a_service_is_read(world: World, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = parse_address(url, "test")
    known = psycopg.conninfo.conninfo_to_dict(address.conninfo)
    file = tmp_path / "pg_service.conf"
    lines = [f"{name}={known[name]}" for name in ("host", "port", "dbname", "user")]
    file.write_text("\n".join(["[ledger]", *lines]) + "\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    named = f"postgresql://?service=ledger&schema={address.schema}"
    assert world.run("--db", named, "db", "migrate").code == 0
    assert "nothing to do" in world.run("--db", url, "db", "migrate").out


# Doctor


def test_doctor_finds_nothing_wrong(server_world: World) -> None:
    server_world.run("add", "hello", "every 1h", "--", "true")
    answer = server_world.run("doctor", "--json", tty=False)
    found = checks(answer)
    assert answer.code == 0
    assert {check: level for check, (level, _) in found.items()} == {
        "zone data": "ok",
        "folder": "ok",
        "server": "ok",
        "ledger": "ok",
        "rights": "ok",
        "clock": "ok",
        "news": "ok",
        "scheduler": "warning",
        "jobs": "ok",
    }
    assert found["ledger"][1].startswith("format 1, in schema cli")


def test_doctor_without_a_ledger_says_how_to_make_one(server_world: World) -> None:
    answer = server_world.run("doctor")
    assert answer.code == 0
    assert "! ledger: there is none in schema cli" in answer.out
    assert "cronq db migrate" in answer.out


def test_doctor_finds_what_is_wrong(server_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    server_world.run("db", "migrate")
    address = server_world.variables["CRONQ_DB"]
    monkeypatch.setattr("cronq.doctor_server.OLDEST", 99)
    monkeypatch.setattr("cronq.doctor_server.NEWS_S", 0.0)
    monkeypatch.setattr("cronq.doctor_server.clock.now_us", lambda: 0)
    (server_world.root / "home" / ".local").write_text("in the way")
    answer = server_world.run("doctor", "--json", tty=False)
    found = checks(answer)
    assert answer.code == ExitCode.FAILED
    assert (found["server"][0], "is too old" in found["server"][1]) == ("error", True)
    assert (found["clock"][0], " s behind the server" in found["clock"][1]) == ("warning", True)
    assert (found["news"][0], "PgBouncer" in found["news"][1]) == ("warning", True)
    assert (found["folder"][0], "is no folder" in found["folder"][1]) == ("error", True)
    server_world.variables["CRONQ_DB"] = address + "&listen=no"
    quiet = checks(server_world.run("doctor", "--json", tty=False))
    assert quiet["news"] == ("ok", "LISTEN is not used (listen=no): every node looks by itself")


def test_doctor_finds_a_ledger_of_another_format(server_world: World) -> None:
    server_world.run("db", "migrate")
    store = _server_store(server_world, server_world.variables["CRONQ_DB"])
    for number, words_of_it in (("99", "and this cronq knows 1"), ("0", "and this cronq needs 1")):
        store.set_fact("format", number)
        answer = server_world.run("doctor", "--json", tty=False)
        level, message = checks(answer)["ledger"]
        assert (answer.code, level, words_of_it in message) == (ExitCode.FAILED, "error", True)
    store.close()


def test_doctor_finds_missing_rights(
    server_world: World, guest: str, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    server_world.run("db", "migrate")
    schema = parse_address(server_world.variables["CRONQ_DB"], "test").schema
    postgres.execute(postgres.url, f"GRANT USAGE ON SCHEMA {schema} TO guest")
    postgres.execute(postgres.url, f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO guest")
    named = guest.replace("of_guest", schema)
    answer = server_world.run("--db", named, "doctor", "--json", tty=False)
    assert checks(answer)["rights"] == ("error", f"role guest has no DELETE on {schema}.attempt")
    refused = server_world.run("--db", named, "add", "x", "@daily", "--", "true")
    assert (refused.code, "permission denied" in refused.err) == (ExitCode.STORE, True)


def test_doctor_takes_what_is_missing_here_for_a_warning(server_world: World) -> None:
    folder = server_world.root / "work" / "away"
    folder.mkdir()
    server_world.run("add", "hello", "every 1h", "--cwd", str(folder), "--", "true")
    folder.rmdir()
    level, message = checks(server_world.run("doctor", "--json", tty=False))["job"]
    assert (level, message.endswith("is gone, on this host")) == ("warning", True)
