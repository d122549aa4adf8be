"""Names for jobs that had none: from what their command runs, the same each time, no two alike."""

from __future__ import annotations

import re
from collections.abc import Collection

from cronq.names import is_name

_MOST = 48
"""Room is left for a number behind it."""
_SPLIT = re.compile(r"[ \t\n]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_AND = re.compile(r"\s*(?:&&|\|\||[;|])\s*")
_EXTENSION = re.compile(r"\.(?:sh|bash|py|pl|rb|php|js|exe)\Z")
_TESTS = frozenset(
    {"cd", "test", "[", "[[", ".", "source", "export", "umask", "set", "ulimit", "sleep", "true", ":"}
)
"""What only prepares the ground for what follows."""
_WITH_VALUES = {
    "nice": {"-n"},
    "ionice": {"-c", "-n", "-p"},
    "sudo": {"-u", "-g"},
    "timeout": {"-k", "-s"},
    "flock": {"-w", "-E"},
    "chronic": set(),
    "env": {"-u", "-C"},
    "exec": set(),
    "nohup": set(),
    "setsid": set(),
    "time": set(),
    "command": set(),
    "runuser": {"-u", "-g"},
    "systemd-cat": {"-t", "-p"},
}
"""Programs that run another one, and their options that take a value."""
_FIRST_IS_OWN = frozenset({"timeout", "flock"})
"""Of those: whose first argument is not yet the other program."""
_INTERPRETERS = re.compile(r"(?:python|perl|ruby|php|node|bash|sh|dash|zsh|ksh)[0-9.]*\Z")


def name_of_command(command: str) -> str:
    """Return a name for what a shell line runs; `job` if nothing in it makes one."""
    for part in _AND.split(command):
        words = [word.strip("'\"(){}") for word in _SPLIT.split(part) if word]
        if program := _program(words):
            return _slug(program) or "job"
    return "job"


def _program(words: list[str]) -> str:
    while words and (_ASSIGNMENT.match(words[0]) or not words[0]):
        words = words[1:]
    if not words or _base(words[0]) in _TESTS:
        return ""
    wrapper = _base(words[0])
    if wrapper in _WITH_VALUES:
        rest = _after_options(words[1:], _WITH_VALUES[wrapper])
        return _program(rest[1:] if wrapper in _FIRST_IS_OWN else rest) or words[0]
    if _INTERPRETERS.fullmatch(wrapper):
        return _script(words[1:]) or words[0]
    return words[0]


def _script(words: list[str]) -> str:
    """Return the script that an interpreter is given, or the module of `-m`."""
    for at, word in enumerate(words):
        if word in {"-m", "-c"}:
            rest = words[at + 1 :]
            return _program(rest) if word == "-c" else "".join(rest[:1])
        if not word.startswith("-"):
            return word
    return ""


def _after_options(words: list[str], with_values: Collection[str]) -> list[str]:
    while words and words[0].startswith("-"):
        words = words[2:] if words[0] in with_values else words[1:]
    return words


def _base(word: str) -> str:
    return word.rstrip("/").rpartition("/")[2]


def _slug(program: str) -> str:
    text = _EXTENSION.sub("", _base(program).lower())
    return re.sub(r"[^a-z0-9._-]+", "-", text).strip("._-")[:_MOST].rstrip("._-")


def slug_of(text: str) -> str:
    """Return the nearest name to a text; `job` if there is none."""
    return _slug(text.replace("/", "-")) or "job"


def unique(name: str, taken: Collection[str]) -> str:
    """Return the name, or the name with the first number behind it that is free."""
    if name not in taken:
        return name
    number = 2
    while (numbered := f"{name}-{number}") in taken:
        number += 1
    assert is_name(numbered), numbered
    return numbered
