"""The error tree is what its module says, and each class knows its exit code."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from cronq import errors
from cronq.errors import CronqError, ExitCode


def classes_of(base: type[CronqError]) -> Iterator[type[CronqError]]:
    """Return the classes of the module's own tree, base first."""
    yield base
    for child in base.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from classes_of(child)


CLASSES = list(classes_of(CronqError))
FAMILIES = {
    "UsageError": 2,
    "NotFoundError": 3,
    "ConflictError": 4,
    "StoreError": 5,
    "InvariantError": 70,
}


def drawn_tree() -> dict[str, str]:
    """Return class → family as drawn in the module's docstring; a family is its own."""
    drawn = {}
    family = "CronqError"
    for line in (errors.__doc__ or "").splitlines():
        names = re.findall(r"\b[A-Z][A-Za-z]+\b", line)
        is_drawing = line.lstrip().startswith(("CronqError", "├", "└", "│"))
        if not is_drawing:
            continue
        if re.search(r"exit +\d+", line):
            family = names[0]
        drawn.update(dict.fromkeys(names, family))
    return drawn


def test_every_class_is_drawn_below_its_family() -> None:
    expected = {}
    for kind in CLASSES:
        ancestors = [k.__name__ for k in kind.__mro__]
        family = next((name for name in ancestors if name in FAMILIES), "CronqError")
        expected[kind.__name__] = family
    assert drawn_tree() == expected


def test_drawn_exit_codes_are_those_of_the_classes() -> None:
    text = errors.__doc__ or ""
    for kind in (CronqError, *(getattr(errors, name) for name in FAMILIES)):
        (code,) = re.findall(rf"\b{kind.__name__} +exit +(\d+)", text)
        assert int(code) == kind.exit_code


@pytest.mark.parametrize("kind", CLASSES)
def test_class_has_the_exit_code_of_its_family(kind: type[CronqError]) -> None:
    family = next((k.__name__ for k in kind.__mro__ if k.__name__ in FAMILIES), None)
    assert kind.exit_code == (FAMILIES[family] if family else ExitCode.FAILED)
    assert isinstance(kind.exit_code, ExitCode)


@pytest.mark.parametrize("kind", CLASSES)
def test_class_says_in_one_sentence_when_it_is_raised(kind: type[CronqError]) -> None:
    first = (kind.__doc__ or "").splitlines()[0]
    assert first.endswith(".")
    assert first[0].isupper()


@pytest.mark.parametrize("kind", CLASSES)
def test_error_carries_what_a_person_needs(kind: type[CronqError]) -> None:
    error = kind("it went wrong", hint="do this", text="a b", span=(2, 3), details=("one", "two"))
    assert str(error) == error.message == "it went wrong"
    assert (error.hint, error.text, error.span, error.details) == ("do this", "a b", (2, 3), ("one", "two"))
    bare = kind("it went wrong")
    assert (bare.hint, bare.text, bare.span, bare.details) == ("", None, None, ())


def test_exit_codes_are_those_of_shells_and_of_the_documentation() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "FAILED": 1,
        "USAGE": 2,
        "NOT_FOUND": 3,
        "CONFLICT": 4,
        "STORE": 5,
        "BUG": 70,
        "BUDGET": 75,
        "WAIT_TIMEOUT": 124,
        "EXEC_FAILED": 125,
        "EXEC_CANNOT": 126,
        "EXEC_NOT_FOUND": 127,
        "INTERRUPTED": 130,
    }
