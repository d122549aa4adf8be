"""What `cronq next` is asked about: schedules as they were typed, and jobs by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from cronq.cli._definition import layers_in
from cronq.cli._errors import Problems, errors_in, raise_all
from cronq.cli._schedules import (
    calendars_for,
    known_calendars,
    one_schedule,
    read_schedule,
    sentence_of,
    times_of,
    was_expanded,
)
from cronq.clock import datetime_from_us
from cronq.errors import CronqError, JobNotFound, ScheduleError, StoreMissing, UsageError
from cronq.model import Command, CommandKind, Definition, Job, Micros
from cronq.names import is_name

if TYPE_CHECKING:
    from cronq.cli._layers import Layers
    from cronq.cli._schedules import Times
    from cronq.cli._session import Session
    from cronq.plan import Placement

USAGE = "next SCHEDULE|NAME... [options]"
_NOTHING = Command(CommandKind.ARGV, ("true",))


class Asked(NamedTuple):
    """A schedule that was asked about.

    Attributes:
        label: The job's name, else the schedule's text.
        text: The schedule's text.
        placement: What jitter and blackouts do; None: nothing, or it is no job and has no name to hash.
        job: None for a schedule.
    """

    label: str
    text: str
    tz: str
    times: Times
    sentence: str
    placement: Placement | None
    job: Job | None

    def warnings(self, now: Micros) -> list[tuple[str, str]]:
        """Return (severity, message) of what may surprise."""
        return [(w.severity, w.message) for w in self.times.warnings(datetime_from_us(now))]

    def note(self, at: Micros) -> str:
        """Return what clock changes and calendars did to a fire time."""
        return self.times.notes_at(datetime_from_us(at)) or ""


def read_asked(session: Session, words: list[str], dst: str | None) -> list[Asked]:
    """Return what the words name, in their order.

    Raises:
        ScheduleError: A schedule cannot be read; of several, all are told.
        JobNotFound: A word could be a name and is none.
    """
    if not words:
        raise UsageError("there is nothing to look at", hint=f"usage: cronq {USAGE}")
    layers = layers_in(session)._replace(calendars=_given(session, "uses"), calendar_option="--use")
    names = [word for word in words if is_name(word)]
    jobs, calendars = _jobs(session, names, words)
    if layers and jobs:
        name = next(iter(jobs))
        raise UsageError(
            f"{layers.first_option} is for schedules, and `{name}` is a job",
            hint=f"what it would do there: cronq set {name} {layers.set_option} … --dry-run",
        )
    if layers.calendars:
        calendars = known_calendars(session)
    problems: list[CronqError] = []
    asked = []
    for word in words:
        job = jobs.get(word)
        try:
            asked.append(_of_job(job, calendars) if job else _of_text(session, word, dst, layers, calendars))
        except (ScheduleError, Problems) as error:
            _blame_shell(session, words)
            said = {problem.message for problem in problems}
            problems += [one for one in errors_in(error) if one.message not in said]
    raise_all(problems)
    return asked


def _given(session: Session, option: str) -> list[str]:
    return cast("list[str]", session.fields.get(option) or [])


def _of_job(job: Job, calendars: Mapping[str, str]) -> Asked:
    from cronq.timing import placement_of

    times = times_of(job, calendars)
    definition = job.definition
    sentence = sentence_of(times, definition)
    return Asked(job.name, definition.schedule, definition.tz, times, sentence, placement_of(job), job)


def _of_text(
    session: Session, text: str, dst: str | None, layers: Layers, calendars: Mapping[str, str]
) -> Asked:
    tz = session.tz()
    now = session.started_at
    schedule = read_schedule(text, tz=tz, name="", dst=dst or "cron", now=now)
    if not layers:
        return Asked(schedule.text, schedule.text, tz, schedule, schedule.explain(), None, None)
    from cronq.timing import fire_times, placement_of

    values = layers.read(tz=tz, now=now, calendars=calendars)
    definition = Definition(_NOTHING, schedule.text, tz=tz, dst=dst or "cron")._replace(**values)  # type: ignore[arg-type]
    times = fire_times(definition, "", calendars)
    # A jitter is a hash of the job's name, and there is none; blackouts hold for anybody.
    nameless = Job(0, "", 0, definition._replace(jitter=None), now, now)
    sentence = sentence_of(times, definition)
    return Asked(schedule.text, schedule.text, tz, times, sentence, placement_of(nameless), None)


def _jobs(session: Session, names: list[str], words: list[str]) -> tuple[dict[str, Job], Mapping[str, str]]:
    """Return the jobs among the words. A word that could be a name, and no schedule, is one."""
    if not names:
        return {}, {}
    cwd = session.environment.cwd()
    if len(words) > 1 and was_expanded(words, cwd):
        _blame_shell(session, words)
    try:
        with session.store(read_only=True) as store:
            jobs = {job.name: job for job in store.named_jobs(names)}
            return jobs, calendars_for(store, (job.definition for job in jobs.values()))
    except (JobNotFound, StoreMissing):
        if len(words) > 1 and _reads(session, " ".join(words)):
            _blame_shell(session, words)
        raise


def _reads(session: Session, text: str) -> bool:
    try:
        read_schedule(text, tz="UTC", name="", dst="cron", now=session.started_at)
    except CronqError:
        return False
    return True


def _blame_shell(session: Session, words: Sequence[str]) -> None:
    """Raise if the words look like one schedule that was not quoted."""
    cwd = session.environment.cwd()
    if len(words) > 1 and (was_expanded(words, cwd) or _reads(session, " ".join(words))):
        one_schedule(words, before="cronq next", after="", cwd=cwd)


def common_zone(session: Session, asked: Sequence[Asked]) -> str:
    """Return the zone in which times of several are shown together."""
    return session.tz(asked[0].tz)
