"""`cronq import`: jobs from crontabs and systemd timers, with every difference told."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cronq.cli._said import hint_about_scheduler
from cronq.cli._session import Session
from cronq.errors import UsageError

USAGE = "import crontab FILE|-|--user [--plan] · import systemd DIR [--plan]"
EXAMPLES = ("cronq import crontab --user --plan", "cronq import systemd ~/.config/systemd/user --toml")


class Kind(StrEnum):
    """What is imported."""

    CRONTAB = "crontab"
    SYSTEMD = "systemd"


class Policies(StrEnum):
    """Whose ways with overlapping and missed runs the jobs get."""

    CRON = "cron"
    CRONQ = "cronq"


def command(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="KIND", show_default=False)],
    source: Annotated[str | None, typer.Argument(metavar="FILE|DIR", show_default=False)] = None,
    user: Annotated[
        bool, typer.Option("--user", help="Read this user's crontab, as `crontab -l` prints it.")
    ] = False,
    system: Annotated[
        bool,
        typer.Option("--system", help="Its sixth field is a user (known of /etc/crontab and /etc/cron.d)."),
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be done, and do nothing.")] = False,
    toml: Annotated[
        bool, typer.Option("--toml", help="Print the cronq.toml that it makes, and do nothing.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Change jobs of these names that are other ones.")
    ] = False,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Leave out what cannot be imported.")
    ] = False,
    policies: Annotated[
        Policies,
        typer.Option(
            "--policies",
            metavar="cron|cronq",
            help="For overlaps and missed runs: as cron does, or cronq's defaults (default: cron).",
        ),
    ] = Policies.CRON,
    days: Annotated[
        int,
        typer.Option(
            "--days", metavar="N", min=1, max=366, help="Show fire times so far ahead (default: 7)."
        ),
    ] = 7,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not look whether the programs exist.")
    ] = False,
) -> int:
    """Make jobs of a crontab (a FILE, `-` for standard input, or --user) or of the timers in a folder.

    Each job does what cron or systemd did, at the same times; what is, or may be, different is told line by
    line. All of it is imported or, if something cannot be, nothing. Imported once more, nothing changes; jobs
    that are no longer in the source are left alone. `--toml > cronq.toml` keeps them as code.
    """
    session = Session.of(ctx)
    session.fields = {"no_check": no_check}
    if plan and toml:
        raise UsageError("--plan and --toml contradict each other", hint="give one of them")
    chosen = _kind(kind)
    if chosen is Kind.CRONTAB:
        from cronq.cli._crontabs import read_source

        found = read_source(session, source, user=user, system=system, policies=policies.value)
    else:
        from cronq.cli._timers import read_folder

        if user or system:
            raise UsageError("--user and --system are for crontabs", hint="cronq import systemd DIR")
        found = read_folder(session, source)
    from cronq.cli._importing import answer, answer_toml, import_jobs

    if toml:
        return answer_toml(session, found, skip_invalid=skip_invalid)
    found, read, done = import_jobs(session, found, is_plan=plan, replace=replace, skip_invalid=skip_invalid)
    answer(session, found, read, done, days, is_plan=plan)
    if not plan and found.jobs:
        _tell_of_two(session, chosen)
    if not plan:
        hint_about_scheduler(session)
    return 0


def _tell_of_two(session: Session, kind: Kind) -> None:
    if kind is Kind.CRONTAB:
        session.hint("cron still runs them, too: take their lines out of the crontab")
    else:
        session.hint("systemd still runs them, too: systemctl disable --now NAME.timer")


def _kind(text: str) -> Kind:
    try:
        return Kind(text)
    except ValueError:
        from difflib import get_close_matches

        near = get_close_matches(text, [kind.value for kind in Kind], n=1, cutoff=0.5)
        hint = (
            f"did you mean `{near[0]}`?" if near else "cronq import crontab FILE, or cronq import systemd DIR"
        )
        raise UsageError(f"cannot import a `{text}`", hint=hint) from None
