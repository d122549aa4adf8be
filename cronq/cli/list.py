"""`cronq list`: the jobs, when they run next, and how they fare."""

from typing import TYPE_CHECKING, Annotated

import typer

from cronq.cli._session import Session
from cronq.errors import StoreMissing
from cronq.model import Outcome
from cronq.render.locks import waited_for
from cronq.render.times import iso

if TYPE_CHECKING:
    from cronq.model import Attempt
    from cronq.store import JobOverview, LockState

USAGE = "list [NAME...] [options]"
EXAMPLES = (
    "cronq list",
    "cronq list --json | jq -r '.jobs[] | select(.last.outcome != \"success\") | .name'",
)


def command(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", show_default=False)] = None,
    limit: Annotated[
        int | None, typer.Option("-n", "--limit", metavar="COUNT", min=1, help="Show at most so many.")
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Show jobs with this tag; may be repeated."),
    ] = None,
) -> int:
    """Show the jobs: when they run next, how the last run ended, and the last twelve durations.

    Into a pipe: one line a job, separated by tabs, with times in UTC. With -q: names only.
    """
    session = Session.of(ctx)
    overviews, attempts, locks = _read(session, names or [], limit, frozenset(tags or ()))
    if session.options.json:
        session.json({"jobs": [_document(o, a, locks) for o, a in zip(overviews, attempts, strict=True)]})
    elif session.options.quiet:
        session.lines(overview.job.name for overview in overviews)
    elif session.for_people:
        _table(session, overviews, locks)
    else:
        header = ["name", "schedule", "tz", "next", "last", "outcome", "took_s", "state"]
        session.rows(header, (_row(overview, locks) for overview in overviews))
    if not overviews:
        session.tell("No jobs yet.")
        session.tell("Add one: cronq add hello 'every 1m' -- echo hi")
    return 0


def _read(
    session: Session, names: list[str], limit: int | None, tags: frozenset[str]
) -> "tuple[list[JobOverview], list[Attempt | None], list[LockState]]":
    """Return the jobs, for JSON the last attempt of the last run of each, and the locks they wait for."""
    try:
        with session.store(read_only=True) as store:
            overviews = store.overviews(names, limit=None if tags else limit)
            if tags:
                overviews = [o for o in overviews if not tags.isdisjoint(o.job.definition.tags)]
            overviews = overviews[:limit]
            wanted = overviews if session.options.json else []
            attempts = [store.run(o.recent[0][0].id).attempts[-1] if o.recent else None for o in wanted]
            is_asked = any(o.active.queued and o.job.definition.locks for o in overviews)
            return overviews, attempts, store.lock_states(session.started_at) if is_asked else []
    except StoreMissing:
        if names or session.options.db or session.environment.environ.get("CRONQ_DB"):
            raise
        return [], [], []  # nothing was ever added: an empty state, not an error


def _table(session: Session, overviews: "list[JobOverview]", locks: "list[LockState]") -> None:
    from cronq.render.jobs import job_lines

    if not overviews:
        return
    zones = {o.job.definition.tz: session.shown_zone(o.job.definition.tz) for o in overviews}
    session.lines(
        job_lines(
            overviews, session.started_at, zones, session.terminal.style, header=session.header, locks=locks
        )
    )

    origins = {o.job.origin for o in overviews}
    if len(origins) > 1:
        session.note("* added by hand; the others are defined in a file")


def _row(overview: "JobOverview", locks: "list[LockState]") -> list[str]:
    job = overview.job
    last, took = overview.recent[0] if overview.recent else (None, None)
    state = "paused" if job.paused_at is not None else "active"
    if overview.active.running:
        state = "running"
    elif overview.active.queued and state == "active":
        missing = ", ".join(lock.name for lock in waited_for(overview.job.name, locks))
        state = f"waits for {missing}" if missing else state
    return [
        job.name,
        job.definition.schedule,
        job.definition.tz,
        (iso(job.next_fire_at) or "") if job.paused_at is None else "",
        (iso(last.finished_at) or "") if last else "",
        last.outcome.value if last and last.outcome else "",
        f"{took:.3f}" if took is not None else "",
        state,
    ]


def _document(
    overview: "JobOverview", attempt: "Attempt | None", locks: "list[LockState]"
) -> dict[str, object]:
    from cronq.cli._documents import job_document, run_document

    last = overview.recent[0][0] if overview.recent else None
    return job_document(overview.job) | {
        "queued": overview.active.queued,
        "running": overview.active.running,
        "running_since": iso(overview.running_since),
        "waits_for": [lock.name for lock in waited_for(overview.job.name, locks)],
        "last": None if last is None else run_document(last, attempt),
        "recent": [
            {"id": run.id, "outcome": (run.outcome or Outcome.SUCCESS).value, "duration_s": seconds}
            for run, seconds in overview.recent
        ],
    }
