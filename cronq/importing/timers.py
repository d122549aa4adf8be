"""From the timers of systemd, and the services that they start, to jobs.

Source: systemd.timer(5), systemd.service(5), systemd.exec(5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cronq.importing.crontab_jobs import Owner
from cronq.importing.found import Findings, Found, Place, Problem, Remark
from cronq.importing.naming import slug_of, unique
from cronq.importing.services import Service, ServiceError, service_values
from cronq.importing.units import Setting, Unit, is_true, read_unit, seconds_of
from cronq.schedule.duration import format_duration

_SINCE_START = ("OnBootSec", "OnStartupSec", "OnActiveSec")
_REPEATING = ("OnUnitActiveSec", "OnUnitInactiveSec")
_KNOWN = {
    "Unit": ("Description", "Documentation"),
    "Timer": (
        *_SINCE_START,
        *_REPEATING,
        "OnCalendar",
        "Unit",
        "Persistent",
        "RandomizedDelaySec",
        "FixedRandomDelay",
        "AccuracySec",
        "RemainAfterElapse",
    ),
    "Install": ("WantedBy", "Also", "Alias", "RequiredBy"),
}


class Machine(NamedTuple):
    """What is to be known of the place the units come from.

    Attributes:
        is_user: They are of a user's own systemd.
    """

    tz: str
    owner: Owner
    is_user: bool


def jobs_of_timers(files: Mapping[str, bytes], label: str, machine: Machine) -> Findings:
    """Return the jobs that the timers among some files define.

    Args:
        files: Content by name: `backup.timer`, `backup.service`, `backup.timer.d/more.conf`.
        label: What the folder is called in what is told.
        machine: What is known of the machine.
    """
    found = Findings(label, [], [], [])
    texts = {name: data.decode("utf-8", "replace") for name, data in files.items()}
    for name in sorted(texts):
        if "/" not in name and name.endswith(".timer"):
            _take(found, texts, name, machine)
    if found.jobs:
        found.remarks.extend(_about_all(Place(label)))
    return found


def unit_in(texts: Mapping[str, str], name: str) -> Unit | None:
    """Return a unit with its drop-ins; of an instance, from its template. None: there is no such file."""
    prefix, at, rest = name.partition("@")
    template = f"{prefix}@.{rest.rpartition('.')[2]}" if at else name
    base = name if name in texts else template
    if base not in texts:
        return None
    folders = {f"{template}.d/", f"{name}.d/"}
    drops = {
        each.rpartition("/")[2]: each
        for folder in sorted(folders, key=len)
        for each in texts
        if each.startswith(folder) and each.endswith(".conf")
    }
    return read_unit(name, [(each, texts[each]) for each in (base, *(drops[key] for key in sorted(drops)))])


def _take(found: Findings, texts: Mapping[str, str], name: str, machine: Machine) -> None:
    timer = unit_in(texts, name)
    assert timer is not None, "its file was found"
    if not texts[name].strip():
        found.remarks.append(Remark(timer.place, "left-out", "left out: it is masked"))
        return
    if name.endswith("@.timer"):
        found.remarks.append(Remark(timer.place, "left-out", "left out: it is a template without instances"))
        return
    stem = name.removesuffix(".timer")
    job = unique(slug_of(stem), {one.name for one in found.jobs})
    remarks: list[Remark] = []
    problems: list[Problem] = []
    schedule, schedule_place = _schedule(timer, remarks, problems)
    named = timer.last("Timer", "Unit")
    target = named.value if named else f"{stem}.service"
    unit = unit_in(texts, target) if target.endswith(".service") else None
    values: dict[str, object] = {"schedule": schedule, "tz": machine.tz}
    if unit is None:
        place = named.place if named else timer.place
        error = place.error(f"its service {target} is not in the folder", "import the folder that holds both")
        problems.append(Problem(place, error))
    else:
        try:
            service = service_values(unit, Service(stem, machine.owner, machine.is_user))
            values |= service.values
            remarks += service.remarks
        except ServiceError as error:
            problems += [Problem(place, place.error(text)) for place, text in error.found]
    values |= _policies(timer, remarks, problems)
    for other in timer.others(_KNOWN):
        remarks.append(Remark(other.place, "setting", f"{other.key}= has no counterpart; it is left out"))
    if problems:
        found.problems.extend(problems)
        return
    found.remarks.extend(one._replace(job=job) for one in remarks)
    found.jobs.append(Found(job, timer.place._replace(line=1), values, {"schedule": schedule_place}))


def _schedule(timer: Unit, remarks: list[Remark], problems: list[Problem]) -> tuple[str, Place]:
    calendars = timer.all("Timer", "OnCalendar")
    parts = [f"oncalendar: {one.value}" for one in calendars]
    place = calendars[0].place if calendars else timer.place
    repeating = [one for key in _REPEATING for one in timer.all("Timer", key)]
    starting = [one for key in _SINCE_START for one in timer.all("Timer", key)]
    for one in repeating:
        seconds = _span(one, problems)
        if seconds:
            parts.append(f"every {format_duration(seconds)}")
            since = "end" if one.key == "OnUnitInactiveSec" else "start"
            message = (
                f"{one.key}={one.value} counts from the {since} of the run before; cronq counts on the clock:"
                f" {parts[-1]}"
            )
            remarks.append(Remark(one.place, "interval", message))
            place = place if calendars else one.place
    for one in starting:
        if repeating or calendars:
            message = f"{one.key}={one.value}: the run after the start is left out"
        else:
            message = f"{one.key}={one.value}: runs once per boot, at the start of the scheduler, not later"
            place = one.place
        remarks.append(Remark(one.place, "startup", message))
    if starting and not parts:
        parts.append("@reboot")
    if not parts and not problems:
        problems.append(
            Problem(timer.place, timer.place.error("it says no time: no OnCalendar= or the like"))
        )
    return " ; ".join(parts), place


def _policies(timer: Unit, remarks: list[Remark], problems: list[Problem]) -> dict[str, object]:
    values: dict[str, object] = {}
    persistent = timer.last("Timer", "Persistent")
    if persistent is None or not is_true(persistent.value):
        values["catch-up"] = "skip"
    delay = timer.last("Timer", "RandomizedDelaySec")
    if delay is not None and (seconds := _span(delay, problems)):
        fixed = timer.last("Timer", "FixedRandomDelay")
        stable = fixed is not None and is_true(fixed.value)
        values["jitter"] = ("" if stable else "random:") + format_duration(seconds)
        message = f"RandomizedDelaySec={delay.value} becomes jitter {values['jitter']}: a delay of the start"
        remarks.append(Remark(delay.place, "jitter", f"{message}; the fire time stays"))
    accuracy = timer.last("Timer", "AccuracySec")
    if accuracy is not None:
        message = f"AccuracySec={accuracy.value}: cronq starts at the second; it is left out"
        remarks.append(Remark(accuracy.place, "accuracy", message))
    return values


def _span(one: Setting, problems: list[Problem]) -> float | None:
    seconds = seconds_of(one.value)
    if seconds is None or seconds == float("inf"):
        error = one.place.error(f"{one.key}={one.value} is not a time span", "such as 5min or 1h 30min")
        problems.append(Problem(one.place, error))
        return None
    return seconds


def _about_all(whole: Place) -> Iterator[Remark]:
    yield Remark(
        whole, "catch-up", "Persistent=true becomes catch-up latest; without it missed runs stay missed"
    )
    yield Remark(
        whole,
        "clock",
        "at clock changes cronq follows the rule of cron: what the clock leaps over runs right after it",
    )
    yield Remark(whole, "enabled", "timers are taken whether or not they are enabled")
    yield Remark(whole, "output", "output goes to the logs of cronq, not to the journal", "cronq logs NAME")
