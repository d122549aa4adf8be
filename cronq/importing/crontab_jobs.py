"""From the entries of a crontab to jobs that do what cron does with them.

cron runs `$SHELL -c COMMAND` in `$HOME` with a small environment; a job gets exactly that: the shell, the
folder, the PATH and the variables in force at its line. What cron does beside (it mails) or does not do (it
forgets what it missed, and lets runs overlap) is kept where cronq has a policy for it, and told in any case.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from typing import NamedTuple

from cronq.errors import ScheduleError
from cronq.importing.crontab import Entry, read_crontab
from cronq.importing.found import Findings, Found, Place, Problem, Remark
from cronq.importing.naming import name_of_command, unique
from cronq.names import NAME_HINT, is_name
from cronq.schedule import parse

NEVER = "no fire time"
"""What `parse` says of a schedule that is right and names none."""

DEFAULT_PATH = "/usr/bin:/bin"
"""What cron sets if the crontab does not. Source: crontab(5); _PATH_DEFPATH."""
SHELL = "/bin/sh"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_PASSED = frozenset({"PATH", "LOGNAME", "USER"})
_OVERLAP = (
    "cron starts a run although the one before still runs, and so will cronq: overlap allow",
    "one at a time, and the ledger says what was skipped: --policies cronq",
)
_MISSED = (
    "cron forgets what was due while it did not run, and so will cronq: catch-up skip, told as missed; also"
    " fixed times of a sleep of under three hours, for which cron makes up",
    "one run for the newest of them: --policies cronq",
)


class Owner(NamedTuple):
    """Whose crontab it is, and what is known of the users of the machine.

    Attributes:
        name: The user who imports.
        home: His home.
        home_of: Returns the home of a user; None: there is no such user.
    """

    name: str
    home: str
    home_of: Callable[[str], str | None]


def jobs_of_crontab(
    data: bytes, label: str, *, has_users: bool, tz: str, owner: Owner, keeps_policies: bool
) -> Findings:
    """Return the jobs that a crontab defines.

    Args:
        data: The file.
        label: What it is called in what is told.
        has_users: Whether the sixth field is a user.
        tz: The zone of the machine.
        owner: Whose it is.
        keeps_policies: Whether cron's ways with overlapping and missed runs are kept; else cronq's are taken.
    """
    crontab = read_crontab(data, label, has_users=has_users)
    taker = _Taker(tz, owner, keeps_policies, [], list(crontab.remarks), list(crontab.problems))
    for entry in crontab.entries:
        taker.take(entry)
    if taker.jobs:
        whole = Place(label)
        taker.remarks.extend(_about_all(crontab.entries, whole, keeps_policies=keeps_policies))
        if not has_users and _seem_to_have_users(crontab.entries, owner):
            message = "each command begins with the name of a user, as in /etc/crontab"
            taker.remarks.append(Remark(whole, "user", message, "if it is a system crontab: --system"))
    lines = {found.place.line: found.name for found in taker.jobs}
    remarks = [one._replace(job=one.job or lines.get(one.place.line, "")) for one in taker.remarks]
    remarks.sort(key=lambda one: (one.place.line == 0, one.place.line))
    taker.problems.sort(key=lambda one: one.place.line)
    return Findings(label, taker.jobs, remarks, taker.problems)


class _Taker(NamedTuple):
    tz: str
    owner: Owner
    keeps_policies: bool
    jobs: list[Found]
    remarks: list[Remark]
    problems: list[Problem]

    def take(self, entry: Entry) -> None:
        if _never_comes(entry.schedule):
            message = "left out: its day never comes, under cron either"
            self.remarks.append(Remark(entry.schedule_place, "left-out", message))
            return
        user = None if entry.user == self.owner.name else entry.user
        home = self.owner.home
        if user is not None:
            known = self.owner.home_of(user)
            if known is None:
                place = entry.user_place or entry.place
                error = place.error(
                    f"there is no user `{user}`", "is it a system crontab, with a user in it?"
                )
                self.problems.append(Problem(place, error))
                return
            home = known
        values: dict[str, object] = {
            "schedule": entry.schedule,
            "tz": entry.variables.get("CRON_TZ") or self.tz,
        }
        shell = entry.variables.get("SHELL") or SHELL
        values |= _command(entry, shell)
        values["cwd"] = entry.variables.get("HOME") or home
        values["path"] = entry.variables.get("PATH") or DEFAULT_PATH
        values["env"] = self._variables(entry, shell)
        if user is not None:
            values["user"] = user
        self._policies(entry, values)
        self.jobs.append(Found(self._name(entry), entry.place, values, {"schedule": entry.schedule_place}))

    def _variables(self, entry: Entry, shell: str) -> dict[str, str]:
        taken = {"SHELL": shell}
        for name, value in entry.variables.items():
            if name in _NOT_PASSED:
                continue
            if not _VARIABLE.fullmatch(name) or name.startswith("CRONQ_"):
                message = f"the variable `{name}` has a name that cronq does not pass on; it is left out"
                self.remarks.append(Remark(entry.place, "variable", message))
                continue
            taken[name] = value
        return taken

    def _policies(self, entry: Entry, values: dict[str, object]) -> None:
        if self.keeps_policies:
            if not entry.single:
                values["overlap"] = "allow"
            values["catch-up"] = "skip"
        delay = entry.variables.get("RANDOM_DELAY", "")
        if delay.isdigit() and int(delay) > 0:
            # Source: crontab(5) of cronie: minutes.
            values["jitter"] = f"{int(delay)}m"

    def _name(self, entry: Entry) -> str:
        taken = {found.name for found in self.jobs}
        if entry.name is not None:
            if is_name(entry.name) and entry.name not in taken:
                return entry.name
            message = f"`# name: {entry.name}` "
            message += "is the name of a job above" if is_name(entry.name) else "cannot be the name of a job"
            self.remarks.append(Remark(entry.place, "name", message, NAME_HINT))
        return unique(name_of_command(entry.command), taken)


def _never_comes(schedule: str) -> bool:
    """Return whether no month has the day, as in `0 0 30 2 *`, by which lines are switched off."""
    try:
        parse(schedule)
    except ScheduleError as error:
        return NEVER in error.message
    return False


def _command(entry: Entry, shell: str) -> dict[str, object]:
    if entry.stdin is not None:
        return {"shell": f"{_printed(entry.stdin)} | {shlex.join([shell, '-c', entry.command])}"}
    if shell == SHELL:
        return {"shell": entry.command}
    return {"command": [shell, "-c", entry.command]}


def _printed(text: str) -> str:
    if not text.endswith("\n"):
        return f"printf %s {shlex.quote(text)}"
    lines = text[:-1].split("\n")
    return " ".join(["printf", "'%s\\n'", *(shlex.quote(line) for line in lines)])


def _about_all(entries: list[Entry], whole: Place, *, keeps_policies: bool) -> Iterator[Remark]:
    if keeps_policies:
        yield Remark(whole, "overlap", *_OVERLAP)
        yield Remark(whole, "catch-up", *_MISSED)
    else:
        yield Remark(
            whole, "overlap", "cron lets runs overlap; cronq skips a run while the one before still runs"
        )
        yield Remark(
            whole, "catch-up", "cron forgets what it missed; cronq makes up for the newest missed fire time"
        )
    if any("MAILTO" not in entry.variables for entry in entries):
        yield Remark(
            whole,
            "mail",
            "cron mails what a command prints to the owner; cronq mails nobody, and keeps it",
            "what failed: cronq runs; what it printed: cronq logs NAME",
        )
    if any(entry.schedule == "@reboot" for entry in entries):
        yield Remark(whole, "reboot", "@reboot runs once per boot, when the scheduler first starts after it")
    if any("CRON_TZ" in entry.variables for entry in entries):
        yield Remark(
            whole,
            "zone",
            "cronie knows the clock changes of the machine's zone only: under CRON_TZ it leaves out times"
            " that do not exist, and runs twice those that come twice; cronq runs both once, like all others",
        )


def _seem_to_have_users(entries: list[Entry], owner: Owner) -> bool:
    firsts = {entry.command.split()[0] for entry in entries}
    return all(owner.home_of(first) is not None for first in firsts)
