"""Who executes a command: the users and groups of this machine. Source: passwd(5), getgrouplist(3)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple


class AccountError(ValueError):
    """There is no such user or group.

    Attributes:
        near: The name of one that is written much like it; empty if there is none.
    """

    def __init__(self, message: str, near: str = "") -> None:
        super().__init__(message)
        self.near = near


class Account(NamedTuple):
    """What a process has of a user.

    Attributes:
        groups: All of them, the first one too.
        variables: What login(1) would set: HOME, USER, LOGNAME and SHELL.
    """

    uid: int
    gid: int
    groups: tuple[int, ...]
    variables: dict[str, str]


@contextlib.contextmanager
def rights_of(account: Account | None) -> Iterator[None]:
    """Have the rights of an account, and none of root's, for as long as the block lasts.

    Only the effective user is another one: the account's own processes cannot signal this one meanwhile.
    Source: credentials(7), kill(2). Without an account nothing is changed.

    Raises:
        OSError: This process may not do that.
    """
    if account is None:
        yield
        return
    uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
    try:
        os.setgroups(account.groups)
        os.setegid(account.gid)
        os.seteuid(account.uid)
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)
        os.setgroups(groups)


def account_of(text: str) -> Account:
    """Return the account that `NAME` or `NAME:GROUP` names.

    The group takes the place of the user's first one; the supplementary ones stay.

    Raises:
        AccountError: There is no such user or group.
    """
    import grp
    import pwd

    name, colon, group = text.partition(":")
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):
        raise _unknown("user", name, [each.pw_name for each in pwd.getpwall()]) from None
    gid = entry.pw_gid
    if colon:
        try:
            gid = grp.getgrnam(group).gr_gid
        except (KeyError, ValueError):
            raise _unknown("group", group, [each.gr_name for each in grp.getgrall()]) from None
    variables = {
        "HOME": entry.pw_dir,
        "USER": entry.pw_name,
        "LOGNAME": entry.pw_name,
        "SHELL": entry.pw_shell or "/bin/sh",
    }
    return Account(entry.pw_uid, gid, tuple(os.getgrouplist(name, gid)), variables)


def trouble_with(text: str | None) -> str:
    """Return what is wrong with the user of a job; empty if nothing is, or if it has none."""
    if text is None:
        return ""
    try:
        account_of(text)
    except AccountError as error:
        return str(error)
    return ""


def _unknown(what: str, name: str, known: list[str]) -> AccountError:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1, cutoff=0.6)
    return AccountError(f"there is no {what} `{name}`", near[0] if near else "")
