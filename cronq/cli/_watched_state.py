"""What a file of jobs and the portable state of its ticks know, for `cronq.overdue` to judge jobs by.

Both are only read. The file says how long a success may take; which fire times were promised is what the
last tick knew, because nobody can tell when the file was changed since.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cronq.cli._files import path_of_file, read_alone
from cronq.errors import CronqError, JobNotFound, StateUnreadable
from cronq.keeping import document_in
from cronq.model import Job
from cronq.overdue import Standing, Verdict
from cronq.portable.document import JobState, with_firing
from cronq.portable.standing import verdict_of
from cronq.render.text import plain
from cronq.timing import placement_of, times_of

if TYPE_CHECKING:
    from cronq.cli._job_file import FileJob, JobFile
    from cronq.cli._session import Session

_UNKNOWN = "the state does not know it: no tick has ended since it was added to the file"


def verdicts(
    session: Session,
    file: str,
    state: str,
    names: Sequence[str],
    *,
    windows: Mapping[str | None, float],
    late_s: float | None,
) -> Iterator[Verdict]:
    """Yield how the named jobs of a file stand, or all of them, by a state.

    Args:
        session: Of the command.
        file: The jobs, as a person named the file.
        state: What `cronq tick --state` keeps, likewise.
        names: Of jobs; none: all of the file.
        windows: Job → seconds in which a success must have ended; None: of all that are not named.
        late_s: See `cronq.overdue.judge`.

    Raises:
        CronqError: There is no such file, or all that is wrong with it.
        StateUnreadable: There is no state, or it is damaged.
        JobNotFound: One of the names, or of the windows, is not in the file.
    """
    # Whoever watches may be another machine: users and folders of the jobs need not be there.
    session.fields = {"no_check": True, "elsewhere": True}
    read = read_alone(session, path_of_file(session, file), calendars={})
    path = Path(state).expanduser()
    path = path if path.is_absolute() else session.environment.cwd() / path
    document = document_in(path)
    if document is None:
        raise StateUnreadable(
            f"there is no state {path}", hint=f"restore it; `cronq tick --state {plain(state)}` keeps it"
        )
    _check_names(read, document.jobs, [*names, *(name for name in windows if name is not None)])
    gone = sorted(document.jobs.keys() - {job.name for job in read.jobs})
    if gone and not names:
        session.note(f"not in {read.label} any more, and not judged: {', '.join(gone)}")
    jobs = {job.name: job for job in read.jobs}
    for one in [jobs[name] for name in names or sorted(jobs)]:
        known = document.jobs.get(one.name)
        if known is None:
            # Also if it is paused: how long nobody has ticked is not known.
            yield Verdict(one.name, Standing.UNKNOWN, None, trouble=_UNKNOWN)
            continue
        within_s = windows.get(one.name, windows.get(None))
        yield _verdict(session, read, one, known, within_s, late_s)


def _verdict(
    session: Session,
    read: JobFile,
    one: FileJob,
    known: JobState,
    within_s: float | None,
    late_s: float | None,
) -> Verdict:
    try:
        definition = with_firing(one.definition, known.firing)
        job = Job(0, one.name, 0, definition, 0, 0)
        times, placement = times_of(job, read.calendars), placement_of(job)
    except (CronqError, AttributeError, TypeError, ValueError) as error:
        trouble = error.message if isinstance(error, CronqError) else "the state's fire times cannot be read"
        return Verdict(one.name, Standing.UNKNOWN, None, trouble=trouble)
    return verdict_of(
        known,
        definition,
        times,
        placement,
        session.started_at,
        is_paused=known.paused_at is not None or one.paused is True,
        within_s=within_s,
        late_s=late_s,
    )


def _check_names(read: JobFile, known: Mapping[str, JobState], names: Sequence[str]) -> None:
    """Raise JobNotFound if a name is not in the file."""
    in_file = [job.name for job in read.jobs]
    missing = [name for name in dict.fromkeys(names) if name not in in_file]
    if not missing:
        return
    from cronq.store.sqlite_rows import unknown_names

    otherwise = f"the file has: {', '.join(sorted(in_file)) or 'no jobs'}"
    if any(name in known for name in missing):
        otherwise = "the state knows it, but it was removed from the file"
    message, hint = unknown_names("job", [plain(name) for name in missing], in_file, otherwise)
    raise JobNotFound(f"{read.label}: {message}", hint=hint)
