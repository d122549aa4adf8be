"""What every command owes: help with two examples first, the shared options, a docstring that fits."""

from __future__ import annotations

from importlib import import_module
from inspect import getdoc

import pytest

from cronq.cli._app import load
from cronq.cli._commands import ENTRIES, Entry
from cronq.cli._fields import FIELDS, definition_options
from cronq.cli._help import command_help
from cronq.cli._layers import Layers
from cronq.cli._options import names_in, shared
from cronq.model import Definition

EVERY = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


@EVERY
def test_help_begins_with_two_examples(entry: Entry) -> None:
    lines = command_help(entry.module, load(entry).params)  # type: ignore[arg-type]
    assert lines[0] == "Examples:"
    assert [line.startswith("  cronq ") for line in lines[1:4]] == [True, True, False]
    assert lines[4].startswith(f"Usage: cronq {entry.name}")


@EVERY
def test_help_fits_the_screen(entry: Entry) -> None:
    lines = command_help(entry.module, load(entry).params)  # type: ignore[arg-type]
    assert [line for line in lines if len(line) > 90] == []


@EVERY
def test_command_takes_the_shared_options(entry: Entry) -> None:
    names = {parameter.name for parameter in load(entry).params}
    assert names.issuperset(names_in(shared))


@EVERY
def test_every_option_is_described(entry: Entry) -> None:
    for parameter in load(entry).params:
        assert parameter.param_type_name == "argument" or getattr(parameter, "help", None), parameter.name


@EVERY
def test_command_is_documented(entry: Entry) -> None:
    module = import_module(entry.module)
    assert getdoc(module.command)
    assert len(module.EXAMPLES) == 2


def test_every_field_of_a_definition_has_an_option() -> None:
    read = {field.name for field in FIELDS}
    by_hand = {
        "command",
        "schedule",
        "tz",
        "cwd",
        "path",
        "env",
        "env_file",
        "stdin",
        "locks",
        "secrets",
        "tags",
    }
    by_hand |= set(Layers._fields) - {"calendar_option"}
    assert read | by_hand == set(Definition._fields)
    assert {field.option for field in FIELDS} <= set(names_in(definition_options))
