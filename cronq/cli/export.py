"""`cronq export`: the jobs as a file that `cronq apply` takes."""

from __future__ import annotations

from typing import Annotated

import typer

from cronq.cli._session import Session

USAGE = "export [NAME...]"
EXAMPLES = ("cronq export > cronq.toml", "cronq export backup report --json > jobs.json")


def command(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", show_default=False)] = None,
) -> int:
    """Print the jobs, and the locks and calendars that they use, as `cronq apply` reads them.

    Applied to the same store, it changes nothing. Values of variables are printed, too: keep it where others
    cannot read it.
    """
    from cronq.cli._exporting import document_of, toml_of

    session = Session.of(ctx)
    with session.store(read_only=True) as store:
        overviews = store.overviews(list(dict.fromkeys(names or ())), recent=0)
        locks = store.lock_states(session.started_at)
        calendars = store.calendars()
    document = document_of([overview.job for overview in overviews], locks, calendars)
    if session.options.json:
        session.json(document)
    elif session.options.quiet:
        session.lines(overview.job.name for overview in overviews)
    else:
        session.lines(toml_of(document))
    return 0
