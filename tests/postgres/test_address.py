"""What people write for a server, and what is shown of it."""

from __future__ import annotations

import pytest

from cronq.errors import UsageError
from cronq.store.postgres.address import parse_address


def test_password_is_not_shown() -> None:
    address = parse_address("postgresql://me:s%40cret@db:5433/name?sslmode=require&password=other", "x")
    assert address.shown == "postgresql://me@db:5433/name?sslmode=require"


@pytest.mark.parametrize(
    "password", ["1/secret", "1?a=secret", "1#secret", "1/?secret", "x/secret", "1,2/secret"]
)
def test_password_that_ends_too_early_is_refused_unshown(password: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_address(f"postgresql://me:{password}@db/name", "--db")
    assert "secret" not in f"{caught.value} {caught.value.message} {caught.value.hint}"


def test_several_hosts() -> None:
    address = parse_address("postgresql://me:secret@a,b:5433/name?target_session_attrs=read-write", "--db")
    assert address.shown == "postgresql://me@a,b:5433/name?target_session_attrs=read-write"
    assert address.conninfo == "postgresql://me:secret@a,b:5433/name?target_session_attrs=read-write"
