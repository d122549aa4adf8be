"""Definitions as text: written one way, and read back only as they were written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cronq.errors import StoreCorrupt
from cronq.model import CatchUp, Command, CommandKind, Definition, OnCrash, Overlap
from cronq.store.documents import definition_from_document, document_from_definition
from tests.unit.store.builders import definition

PLAIN = json.loads(document_from_definition(definition()))
MISSING = object()


def test_document_is_canonical() -> None:
    text = document_from_definition(definition())
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert set(json.loads(text)) == set(Definition._fields)


def test_document_of_everything_set_comes_back() -> None:
    full = definition(
        command=Command(CommandKind.PYTHON, ("pkg.mod:func",), '{"a":1}'),
        schedule="0 9 * * mon",
        tz="Europe/Berlin",
        dst="both",
        cwd="/srv/über uns",
        path="/bin",
        env=(("A", "1"), ("B", "zwei\nlines")),
        env_file="/etc/env",
        stdin="/dev/null",
        timeout_s=1.5,
        success_codes=(0, 3, 255),
        overlap=Overlap.ALLOW,
        max_running=None,
        catch_up=CatchUp.ALL,
        on_crash=OnCrash.FAIL,
        priority=-3,
        keep="30d,1000,1G",
        max_output=None,
        nice=10,
        memory=2**30,
        cpu_time_s=60.0,
        open_files=64,
        umask="027",
        user="nobody",
        locks=("db", "gpu"),
        secrets=("TOKEN",),
        ping="https://hc-ping.com/uuid",
        tags=("ci", "night"),
        queue="gpu",
    )
    assert definition_from_document(document_from_definition(full)) == full


FORMAT_2 = ("valid_from", "valid_until", "calendars", "blackouts", "jitter", "assertions")
FORMAT_3 = (
    "keep",
    "max_output",
    "nice",
    "memory",
    "cpu_time_s",
    "open_files",
    "umask",
    "user",
    "locks",
    "secrets",
    "ping",
    "tags",
)
FORMAT_4 = ("queue",)
LATER = FORMAT_2 + FORMAT_3 + FORMAT_4
"""Fields that format 1 did not have."""


@pytest.mark.parametrize("later", [LATER, FORMAT_3 + FORMAT_4, FORMAT_4], ids=["1", "2", "3"])
def test_document_of_an_earlier_format_gets_the_defaults_of_later_fields(later: tuple[str, ...]) -> None:
    values = {name: value for name, value in PLAIN.items() if name not in later}
    assert definition_from_document(json.dumps(values)) == definition_from_document(json.dumps(PLAIN))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, MISSING) for name in Definition._fields if name not in LATER],
        ("surplus", 1),
        # A value of a wrong type, for each kind of field.
        *[(name, 1) for name in ("schedule", "tz", "dst", "cwd", "path", "env_file", "stdin", "queue")],
        *[(name, None) for name in ("schedule", "tz", "dst", "cwd", "path")],
        *[(name, "1") for name in ("kill_after_s", "grace_s", "retry_jitter", "timeout_s", "retries")],
        *[(name, True) for name in ("kill_after_s", "retries", "priority", "max_running", "timeout_s")],
        *[(name, None) for name in ("kill_after_s", "grace_s", "retries", "max_queued", "priority")],
        *[(name, 1.5) for name in ("retries", "max_queued", "catch_up_limit", "priority", "max_running")],
        *[(name, "other") for name in ("overlap", "catch_up", "on_crash")],
        *[(name, None) for name in ("overlap", "catch_up", "on_crash")],
        *[(name, ["skip"]) for name in ("overlap", "catch_up", "on_crash")],
        ("env", {"A": "1"}),
        ("env", [["A"]]),
        ("env", [["A", "1", "2"]]),
        ("env", [["A", 1]]),
        ("env", [[1, "A"]]),
        ("env", ["AB"]),
        ("env", None),
        ("success_codes", 0),
        ("success_codes", ["0"]),
        ("success_codes", [0.0]),
        ("success_codes", [True]),
        ("success_codes", None),
        ("grace_s", 10**400),
        ("command", None),
        ("command", ["true"]),
        ("command", {"kind": "argv", "words": ["true"]}),
        ("command", {"kind": "argv", "words": ["true"], "args": "", "more": 1}),
        ("command", {"kind": "argv", "words": [], "args": ""}),
        ("command", {"kind": "argv", "words": "true", "args": ""}),
        ("command", {"kind": "argv", "words": [1], "args": ""}),
        ("command", {"kind": "argv", "words": ["true"], "args": None}),
        ("command", {"kind": "other", "words": ["true"], "args": ""}),
        ("command", {"kind": None, "words": ["true"], "args": ""}),
        ("command", {"kind": ["argv"], "words": ["true"], "args": ""}),
        ("command", {"kind": "shell", "words": ["true", "false"], "args": ""}),
        ("command", {"kind": "python", "words": ["a:b", "c:d"], "args": ""}),
    ],
)
def test_document_with_a_wrong_value_is_refused(name: str, value: Any) -> None:
    values = {**PLAIN, name: value}
    if value is MISSING:
        del values[name]
    with pytest.raises(StoreCorrupt, match="cannot be read") as caught:
        definition_from_document(json.dumps(values))
    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "1",
        '"text"',
        "{}",
        "{} {}",
        "\0",
        "[" * 100_000,
        json.dumps({**PLAIN, "grace_s": float("nan")}),
        json.dumps({**PLAIN, "grace_s": float("inf")}),
        json.dumps(PLAIN).replace('"retries": 0', '"retries": ' + "9" * 5000),
    ],
)
def test_document_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(StoreCorrupt, match="cannot be read"):
        definition_from_document(text)
