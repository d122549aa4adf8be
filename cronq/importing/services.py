"""What a service of systemd runs, and under which conditions, as the keys of a job."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from cronq.importing.crontab_jobs import Owner
from cronq.importing.exec_lines import ExecError, ExecLine, filled, read_exec
from cronq.importing.found import Place, Remark
from cronq.importing.units import Setting, Unit, seconds_of
from cronq.schedule.duration import format_duration

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_S = "Service"
_PRIVILEGES = "+!|"
_KNOWN = {
    "Unit": ("Description", "Documentation"),
    _S: (
        *("Type", "ExecStart", "ExecStartPre", "ExecStartPost", "User", "Group", "WorkingDirectory"),
        *(
            "Environment",
            "EnvironmentFile",
            "TimeoutStartSec",
            "TimeoutSec",
            "RuntimeMaxSec",
            "TimeoutStopSec",
        ),
        *("Nice", "LimitNOFILE", "MemoryMax", "UMask", "SuccessExitStatus", "SyslogIdentifier"),
    ),
    "Install": ("WantedBy", "Also", "Alias", "RequiredBy"),
}


class Service(NamedTuple):
    """Of which timer a service is.

    Attributes:
        stem: The timer's name without its ending.
        is_user: It is of a user's own systemd.
    """

    stem: str
    owner: Owner
    is_user: bool


class Values(NamedTuple):
    """The keys of a job, and what is different."""

    values: dict[str, object]
    remarks: list[Remark]


class ServiceError(Exception):
    """A service cannot be imported; where, and why."""

    def __init__(self, found: list[tuple[Place, str]]) -> None:
        super().__init__("; ".join(text for _, text in found))
        self.found = found


def service_values(unit: Unit, service: Service) -> Values:
    """Return what a service becomes.

    Raises:
        ServiceError: All of it that cannot be imported.
    """
    taker = _Taker(unit, service)
    taker.take()
    if taker.wrong:
        raise ServiceError(taker.wrong)
    return Values(taker.values, taker.remarks)


class _Taker:
    def __init__(self, unit: Unit, service: Service) -> None:
        self.unit = unit
        self.values: dict[str, object] = {}
        self.remarks: list[Remark] = []
        self.wrong: list[tuple[Place, str]] = []
        owner = service.owner
        user = unit.last(_S, "User")
        name = user.value if user else (owner.name if service.is_user else "root")
        self._user = None if name == owner.name else name
        known = owner.home if self._user is None else owner.home_of(name)
        if known is None:
            self.wrong.append((user.place if user else unit.place, f"there is no user `{name}`"))
        self._home = known or "/"
        self._default_folder = self._home if service.is_user else "/"
        stem, _, instance = unit.name.removesuffix(".service").partition("@")
        self._specifiers = {
            "n": unit.name,
            "N": unit.name.removesuffix(".service"),
            "p": stem,
            "P": stem,
            "i": instance,
            "I": instance,
            "h": self._home,
            "u": name,
        }

    def take(self) -> None:
        self._command()
        self._place()
        self._variables()
        self._limits()
        for other in self.unit.others(_KNOWN):
            self._remark(other, "setting", f"{other.key}= has no counterpart; it is left out")

    def _remark(self, one: Setting, about: str, message: str) -> None:
        self.remarks.append(Remark(one.place, about, message))

    def _filled(self, one: Setting, text: str) -> str:
        try:
            return filled(text, self._specifiers)
        except ExecError as error:
            self.wrong.append((one.place, str(error)))
            return text

    def _command(self) -> None:
        lines = []
        for key in ("ExecStartPre", "ExecStart", "ExecStartPost"):
            found = self.unit.all(_S, key)
            lines += [line for one in found if (line := self._line(one)) is not None]
            if key == "ExecStart" and not found:
                self.wrong.append((self.unit.place, "it starts nothing: no ExecStart="))
        if not lines:
            return
        (first, *rest) = lines
        if not rest and not first.has_variables and "-" not in first.prefixes:
            self.values["command"] = list(first.words)
            return
        self.values["shell"] = " && ".join(line.shell for line in lines)
        if rest:
            message = f"{len(lines)} commands become one shell line: each runs if the one before did well"
            self.remarks.append(Remark(self.unit.place, "command", message))

    def _line(self, one: Setting) -> ExecLine | None:
        try:
            line = read_exec(one.value, self._specifiers)
        except ExecError as error:
            self.wrong.append((one.place, str(error)))
            return None
        if "-" in line.prefixes:
            self._remark(one, "command", "`-`: its failure counts as success; `|| true` does that")
        if "@" in line.prefixes:
            self._remark(one, "command", "`@`: the program is told its own name, not the one given here")
        if set(line.prefixes) & set(_PRIVILEGES):
            self._remark(
                one, "command", "`+`, `!` and `|`: it runs with the rights of the job, like the rest"
            )
        if line.has_variables:
            self._remark(one, "command", "variables in it are put in by a shell, where systemd does it")
        return line

    def _place(self) -> None:
        folder = self.unit.last(_S, "WorkingDirectory")
        cwd = self._default_folder
        if folder is not None:
            text = folder.value.removeprefix("-")
            cwd = self._home if text == "~" else self._filled(folder, text)
        self.values["cwd"] = cwd
        group = self.unit.last(_S, "Group")
        if self._user is not None:
            self.values["user"] = self._user + (f":{group.value}" if group else "")
        elif group is not None:
            self._remark(group, "user", "Group= is left out: it takes a User= of another user")

    def _variables(self) -> None:
        env: dict[str, str] = {}
        for one in self.unit.all(_S, "Environment"):
            try:
                words = shlex.split(one.value)
            except ValueError:
                self.wrong.append((one.place, "a quote in Environment= is not closed"))
                continue
            pairs = [self._filled(one, word).partition("=") for word in words]
            env |= {name: value for name, equals, value in pairs if equals}
        self.values["path"] = env.pop("PATH", DEFAULT_PATH)
        if env:
            self.values["env"] = env
        files = self.unit.all(_S, "EnvironmentFile")
        if files:
            self.values["env-file"] = self._filled(files[0], files[0].value.removeprefix("-"))
            if files[0].value.startswith("-"):
                self._remark(files[0], "variables", "`-`: a job whose file is missing fails under cronq")
        self.wrong += [(one.place, "cronq reads one EnvironmentFile= a job") for one in files[1:]]

    def _limits(self) -> None:
        spans = []
        for key in ("TimeoutStartSec", "TimeoutSec", "RuntimeMaxSec"):
            one = self.unit.last(_S, key)
            is_oneshot = (kind := self.unit.last(_S, "Type")) is not None and kind.value == "oneshot"
            if one is not None and is_oneshot == (key != "RuntimeMaxSec"):
                spans.append(self._seconds(one))
        limits = [span for span in spans if 0 < span < float("inf")]
        if limits:
            self.values["timeout"] = format_duration(min(limits))
        stop = self.unit.last(_S, "TimeoutStopSec")
        if stop is not None and self._seconds(stop) < float("inf"):
            self.values["kill-after"] = format_duration(self._seconds(stop))
        for key, name in (("Nice", "nice"), ("UMask", "umask")):
            if (one := self.unit.last(_S, key)) is not None:
                self.values[name] = one.value
        files = self.unit.last(_S, "LimitNOFILE")
        if files is not None and (soft := files.value.partition(":")[0]) != "infinity":
            self.values["open-files"] = soft
        codes = self.unit.last(_S, "SuccessExitStatus")
        if codes is not None:
            numbers = [word for word in codes.value.split() if word.isdigit()]
            self.values["success-codes"] = ",".join(["0", *numbers])
            if len(numbers) < len(codes.value.split()):
                self._remark(codes, "exit", "SuccessExitStatus=: names and signals are left out")
        self._memory()

    def _memory(self) -> None:
        one = self.unit.last(_S, "MemoryMax")
        if one is None or one.value == "infinity":
            return
        if one.value.endswith("%"):
            self._remark(
                one, "memory", "MemoryMax= in percent is left out; cronq takes a size: --memory 512M"
            )
            return
        self.values["memory"] = one.value
        self._remark(one, "memory", "MemoryMax= holds for all processes together; cronq's for each of them")

    def _seconds(self, one: Setting) -> float:
        seconds = seconds_of(one.value)
        if seconds is None:
            self.wrong.append((one.place, f"{one.key}={one.value} is not a time span"))
        return seconds or 0.0
