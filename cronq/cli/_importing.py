"""What was found in other people's files becomes jobs, by the way that `cronq apply` goes, and is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from cronq.cli._applying import Plan, apply_file
from cronq.cli._consequences import changing, consequences, document_of_plan, summary
from cronq.cli._errors import Problems, errors_in
from cronq.cli._files import planned, read_as_stored, warn_of
from cronq.cli._toml import Document
from cronq.cli._values import differences
from cronq.errors import ConflictError, CronqError
from cronq.importing.found import Findings, Found, Place, Remark
from cronq.render.text import Tone, Word, count_of, plain

if TYPE_CHECKING:
    from cronq.cli._job_file import JobFile
    from cronq.cli._session import Session


class FoundDocument(Document):
    """Jobs that were found elsewhere, as a document; errors about them point at where they come from."""

    def __init__(self, found: Findings) -> None:
        values = {"jobs": {one.name: one.values for one in found.jobs}}
        super().__init__(found.label, "", values)  # type: ignore[arg-type]
        self._found = {one.name: one for one in found.jobs}
        self.wrong: dict[str, list[CronqError]] = {}

    def located(self, error: CronqError, *keys: str) -> CronqError:
        """Return the error with its place in the source."""
        one = self._found.get(keys[1]) if len(keys) > 1 else None
        if one is None:
            return super().located(error, *keys)
        place = one.places.get(keys[2], one.place) if len(keys) > 2 else one.place
        told = _pointing(error, place)
        self.wrong.setdefault(one.name, []).append(told)
        return told


def _pointing(error: CronqError, place: Place) -> CronqError:
    span = place.span
    if error.text and error.span is not None:
        offset = place.text.find(error.text, span[0])
        if offset >= 0:
            span = (offset + error.span[0], offset + error.span[1])
    at = place.at(span).error(error.message, error.hint)
    return type(error)(at.message, hint=at.hint, text=at.text, span=at.span, details=error.details)


def checked(session: Session, found: Findings, *, skip_invalid: bool) -> tuple[Findings, JobFile]:
    """Return what can be imported, checked as `cronq add` does.

    Raises:
        Problems: All that cannot be imported; unless it is to be left out.
    """
    document = FoundDocument(found)
    problems: list[CronqError] = [one.error for one in found.problems]
    folder = session.environment.cwd()
    try:
        read = read_as_stored(session, document, folder)
    except CronqError as error:
        if not skip_invalid or not document.wrong:
            raise Problems([*problems, *errors_in(error)]) from error
        bad = document.wrong
        left = [*(_left_out(one.place, one.error) for one in found.problems)]
        left += [_left_out(one.place, error) for one in found.jobs for error in bad.get(one.name, [])]
        rest = [one for one in found.jobs if one.name not in bad]
        remarks = [one for one in found.remarks if one.job not in bad]
        found = found._replace(jobs=rest, remarks=[*remarks, *left], problems=[])
        return found, read_as_stored(session, FoundDocument(found), folder)._replace(origin=None)
    if problems and not skip_invalid:
        raise Problems(problems)
    left = [_left_out(one.place, one.error) for one in found.problems]
    found = found._replace(remarks=[*found.remarks, *left], problems=[])
    return found, read._replace(origin=None)


def _left_out(place: Place, error: CronqError) -> Remark:
    message = error.message.removeprefix(f"{place.label}:").lstrip("0123456789: ")
    return Remark(place, "left-out", f"left out: {message}", error.hint)


def import_jobs(
    session: Session, found: Findings, *, is_plan: bool, replace: bool, skip_invalid: bool
) -> tuple[Findings, JobFile, Plan]:
    """Return what was, or would be, imported.

    Raises:
        Problems: Something cannot be.
        ConflictError: There is another job of the same name, and it is not to be replaced.
    """
    found, read = checked(session, found, skip_invalid=skip_invalid)
    if not replace:
        _refuse_others(planned(session, read, prune=False))
    if is_plan:
        return found, read, planned(session, read, prune=False)
    with session.made_store() as store:
        return found, read, apply_file(session, store, read, prune=False)


def _refuse_others(plan: Plan) -> None:
    conflicts: list[CronqError] = []
    for step in plan.steps:
        if step.action == "change" and step.before is not None and step.after is not None:
            found = [label for label, _, _ in differences(step.before.definition, step.after)]
            conflicts.append(
                ConflictError(
                    f"there is another job named `{step.name}` already; different are: {', '.join(found)}",
                    hint="to change it: --replace; for another name, write a line `# name: x` above it",
                )
            )
    if conflicts:
        raise Problems(conflicts)


def answer(session: Session, found: Findings, read: JobFile, done: Plan, days: int, *, is_plan: bool) -> None:
    """Tell what was, or would be, imported, and all that is different."""
    if session.options.json:
        session.json(_document(session, found, done, days, is_plan=is_plan))
        return
    if session.options.quiet:
        session.lines(step.name for step in changing(done))
        return
    for words in consequences(session, done, days):
        session.words(*words)
    warn_of(session, read)
    if found.remarks:
        session.line()
        session.words(Word("What is different under cronq", Tone.BOLD))
        for remark in found.remarks:
            for line in _lines(remark):
                session.line(f"  {line}")
        session.line()
    told = count_of(len(found.remarks), "difference")
    session.line(f"{summary(done, is_plan=is_plan)}; {told}")


def _lines(remark: Remark) -> Iterable[str]:
    where = f"line {remark.place.line}: " if remark.place.line else ""
    if remark.place.label.endswith((".timer", ".service", ".conf")):
        where = f"{remark.place.words}: "
    yield f"{where}{plain(remark.message)}"
    if remark.hint:
        yield f"  hint: {plain(remark.hint)}"


def _document(
    session: Session, found: Findings, done: Plan, days: int, *, is_plan: bool
) -> Mapping[str, object]:
    document = document_of_plan(session, done, days, is_plan=is_plan)
    places = {one.name: one.place for one in found.jobs}
    for job in document["jobs"]:  # type: ignore[attr-defined]
        job["file"], job["line"] = places[job["name"]][:2]
    document["source"] = found.label
    document["differences"] = [
        {
            "file": one.place.label,
            "line": one.place.line or None,
            "job": one.job or None,
            "about": one.about,
            "message": one.message,
            "hint": one.hint or None,
        }
        for one in found.remarks
    ]
    return document


def answer_toml(session: Session, found: Findings, *, skip_invalid: bool) -> int:
    """Print the jobs as `cronq apply` reads them, with what is different as comments."""
    from cronq.cli._exporting import toml_of

    found, read = checked(session, found, skip_invalid=skip_invalid)
    warn_of(session, read)
    if session.options.json:
        session.json({"jobs": {one.name: one.values for one in found.jobs}})
        return 0
    shared = _shared(found.jobs)
    about: dict[str, list[Remark]] = {}
    for remark in found.remarks:
        about.setdefault(remark.job, []).append(remark)
    session.line(f"# From {plain(found.label)}, by `cronq import`.")
    _comment(session, about.get("", []))
    session.line()
    if shared:
        session.lines(toml_of({"defaults": shared}))
    for one in found.jobs:
        _comment(session, about.get(one.name, []))
        session.lines(toml_of({"jobs": {one.name: _own(one, shared)}}))
        session.line()
    return 0


def _shared(jobs: list[Found]) -> dict[str, object]:
    """Return what all jobs have in common, which `[defaults]` can say once."""
    if len(jobs) < 2:
        return {}
    first = jobs[0].values
    keys = [key for key in first if key not in {"schedule", "command", "shell", "env"}]
    shared = {key: first[key] for key in keys if all(one.values.get(key) == first[key] for one in jobs)}
    tables = [one.values.get("env", {}) for one in jobs]
    env = dict(tables[0])  # type: ignore[call-overload]
    for table in tables:
        env = {name: value for name, value in env.items() if table.get(name) == value}  # type: ignore[attr-defined]
    return shared | ({"env": env} if env else {})


def _own(one: Found, shared: Mapping[str, object]) -> dict[str, object]:
    values = {key: value for key, value in one.values.items() if key not in shared}
    env, common = one.values.get("env"), shared.get("env")
    if isinstance(env, dict) and isinstance(common, dict):
        values["env"] = {name: value for name, value in env.items() if name not in common}
        if not values["env"]:
            del values["env"]
    return values


def _comment(session: Session, remarks: Iterable[Remark]) -> None:
    for remark in remarks:
        for line in _lines(remark):
            session.line(f"# {line}")
