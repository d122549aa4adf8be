"""What people write for a database server, and that no password is ever repeated."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cronq.errors import UsageError
from cronq.store.location import Place, find_place
from cronq.store.postgres.address import Address, is_address, parse_address
from cronq.store.postgres.connection import connect

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("text", "conninfo", "schema", "shown"),
    [
        ("postgresql://h/d", "postgresql://h/d", "cronq", "postgresql://h/d"),
        ("postgres://h/d", "postgresql://h/d", "cronq", "postgresql://h/d"),
        ("postgresql://", "postgresql://", "cronq", "postgresql://"),
        ("postgresql:///d", "postgresql:///d", "cronq", "postgresql:///d"),
        ("postgresql://u@h:5433/d", "postgresql://u@h:5433/d", "cronq", "postgresql://u@h:5433/d"),
        ("postgresql://u:s3cret@h/d", "postgresql://u:s3cret@h/d", "cronq", "postgresql://u@h/d"),
        ("postgresql://:s3cret@h/d", "postgresql://:s3cret@h/d", "cronq", "postgresql://@h/d"),
        ("postgresql://u:s3cret@/d", "postgresql://u:s3cret@/d", "cronq", "postgresql://u@/d"),
        ("postgresql://u:a%2Fs3cret@h", "postgresql://u:a%2Fs3cret@h", "cronq", "postgresql://u@h"),
        ("postgresql://[::1]:5433/d", "postgresql://[::1]:5433/d", "cronq", "postgresql://[::1]:5433/d"),
        ("postgresql://a:1,b:2/d", "postgresql://a:1,b:2/d", "cronq", "postgresql://a:1,b:2/d"),
        ("postgresql://u:s3cret@a,b/d", "postgresql://u:s3cret@a,b/d", "cronq", "postgresql://u@a,b/d"),
        ("postgresql://h/d?schema=ours", "postgresql://h/d", "ours", "postgresql://h/d?schema=ours"),
        ("postgresql://h/d?schema=cronq", "postgresql://h/d", "cronq", "postgresql://h/d"),
        (
            "postgresql://h/d?password=s3cret&sslmode=require",
            "postgresql://h/d?password=s3cret&sslmode=require",
            "cronq",
            "postgresql://h/d?sslmode=require",
        ),
        (
            "postgresql:///d?host=/run/my pg&sslpassword=s3cret",
            "postgresql:///d?host=%2Frun%2Fmy%20pg&sslpassword=s3cret",
            "cronq",
            "postgresql:///d?host=%2Frun%2Fmy%20pg",
        ),
    ],
)
def test_forms(text: str, conninfo: str, schema: str, shown: str) -> None:
    address = parse_address(text, "--db")
    assert address == Address(conninfo, schema, shown)
    assert is_address(text)


def test_listen() -> None:
    assert parse_address("postgresql://h/d", "--db").listens
    address = parse_address("postgresql://h/d?listen=no", "--db")
    assert not address.listens
    assert (address.shown, address.conninfo) == ("postgresql://h/d?listen=no", "postgresql://h/d")


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://u:s3cret@h:port/d",
        "postgresql://u:s3cret/x@h/d",
        "postgresql://u:s3cret,/x@h/d",
        "postgresql://u:1/s3cret@h/d",
        "postgresql://u:s3cret#x@h/d",
        "postgresql://u:1?s3cret@h/d",
        "postgresql://u:1?a=s3cret@h/d",
        "postgresql://u:1/?s3cret@h/d",
        "postgresql://u:1,2/s3cret@h/d",
        "postgresql://u:s3cret@[::1/d",
        "postgresql://h/d?password=s3cret&schema=Ours",
        "postgresql://h/d?password=s3cret&schema=pg_ours",
        "postgresql://h/d?password=s3cret&schema=a;b",
        "postgresql://h/d?password=s3cret&listen=maybe",
        "postgresql://h/d?password=s3cret&novalue",
    ],
)
def test_what_is_none_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError, match="--db") as refused:
        parse_address(text, "--db")
    assert SECRET not in f"{refused.value} {refused.value.hint}"


def test_parameters_that_libpq_refuses_are_refused_without_a_secret() -> None:
    address = parse_address("postgresql://u:s3cret@h/d?colour=red", "--db")
    with pytest.raises(UsageError, match="not an address that libpq understands") as refused:
        connect(address)
    assert SECRET not in f"{refused.value} {refused.value.hint}"


def test_no_password_shows(tmp_path: Path) -> None:
    text = f"postgresql://u:{SECRET}@h/d?sslpassword={SECRET}"
    address = parse_address(text, "--db")
    place = find_place(text, {"HOME": str(tmp_path)}, tmp_path)
    assert place == Place(place.database, place.logs, "--db", address=address)
    for shown in (repr(address), str(address), f"{place}", repr(place), place.shown, address.shown):
        assert SECRET not in shown
        assert "u@h/d" in shown
    assert SECRET in dataclasses.replace(place).address.conninfo  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "name", ["passwd", "Password", "oauth_client_secret", "scram_client_key", "passfile"]
)
def test_no_parameter_shows_that_may_be_a_secret(name: str) -> None:
    assert parse_address(f"postgresql://u@h/d?{name}={SECRET}", "--db").shown == "postgresql://u@h/d"


def test_what_is_shown_can_be_used() -> None:
    text = "postgresql://u@a:1,b:2/d?target_session_attrs=read-write&schema=x&listen=no"
    assert parse_address(text, "--db").shown == text
    assert parse_address(text, "--db") == parse_address(parse_address(text, "--db").shown, "--db")


def test_name_of_a_schema_is_as_long_as_its_channel_lets_it_be() -> None:
    assert parse_address(f"postgresql://h/d?schema={'x' * 57}", "--db").schema == "x" * 57
    with pytest.raises(UsageError, match="schema"):
        parse_address(f"postgresql://h/d?schema={'x' * 58}", "--db")
