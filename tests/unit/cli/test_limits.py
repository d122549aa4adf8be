"""How limits are read, and what only root may ask for."""

from __future__ import annotations

import os

import pytest

from cronq.cli import _limits
from cronq.cli.show import _definition_pairs
from cronq.errors import CronqError, UsageError
from cronq.model import Command, CommandKind, Definition


@pytest.fixture
def plain_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.mark.parametrize(
    ("text", "mask"), [("27", "027"), ("027", "027"), ("0027", "027"), ("0", "000"), ("777", "777")]
)
def test_masks_have_one_form(text: str, mask: str) -> None:
    assert _limits.umask(text) == mask


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("umask", "8"),
        ("umask", "1777"),
        ("umask", "0o22"),
        ("umask", "u=rwx"),
        ("nice", "20"),
        ("nice", "-21"),
        ("nice", "low"),
        ("memory", "1M"),
        ("memory", "-1"),
        ("memory", "lots"),
        ("cpu_time", "0s"),
        ("cpu_time", "1500ms"),
        ("open_files", "3"),
        ("open_files", "2000000"),
    ],
)
def test_nonsense_is_refused(root: None, name: str, text: str) -> None:
    with pytest.raises(CronqError):
        getattr(_limits, name)(text)


def test_only_root_goes_below_nice_0(plain_user: None) -> None:
    assert _limits.nice("0") == 0
    with pytest.raises(UsageError, match="only root can go below 0"):
        _limits.nice("-1")


def test_root_goes_below_nice_0(root: None) -> None:
    assert _limits.nice("-20") == -20


def test_only_root_names_a_user(plain_user: None) -> None:
    with pytest.raises(UsageError, match="only root"):
        _limits.user("root")


def test_a_user_is_known_or_one_is_suggested(root: None) -> None:
    assert _limits.user("root:root") == "root:root"
    with pytest.raises(UsageError, match="no user `rooot`") as caught:
        _limits.user("rooot")
    assert caught.value.hint == "did you mean `root`?"


def test_a_python_function_has_no_limits() -> None:
    call = Definition(Command(CommandKind.PYTHON, ("os:getcwd",)), "every 1h")
    assert _limits.refusal(call) is None
    refused = _limits.refusal(call._replace(cpu_time_s=1.0, umask="022"))
    assert refused is not None
    assert refused.message.startswith("--cpu-time, --umask cannot hold a Python function")


def test_show_names_a_user_who_is_gone() -> None:
    base = Definition(Command(CommandKind.ARGV, ("true",)), "every 1h")
    for user, shown in (("no-such-user", "no-such-user (there is no user `no-such-user`)"), ("root", "root")):
        pairs = _definition_pairs(base._replace(user=user), all_fields=False, reveal=False)
        assert {label: word.text for label, word in pairs}["user"] == shown
