"""The command table: names, aliases, groups and one-line summaries, so that help imports no command.

A command is a module of this package. It has a function `command` (its docstring is the description), and
`USAGE` and `EXAMPLES` for its help.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A command.

    Attributes:
        group: Under which heading the short help lists it.
    """

    name: str
    group: str
    summary: str
    aliases: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The module that implements it."""
        return f"cronq.cli.{self.name}{'_' if self.name == 'import' else ''}"


ENTRIES = (
    Entry("add", "Everyday", "Define a job"),
    Entry("list", "Everyday", "Show the jobs: when they run next, and how they fare", ("ls",)),
    Entry("next", "Everyday", "Show the fire times of a schedule or a job"),
    Entry("run", "Everyday", "Run the scheduler in the foreground"),
    Entry("worker", "Everyday", "Execute runs that other nodes launch, on PostgreSQL"),
    Entry("set", "Change", "Change a job's definition"),
    Entry("pause", "Change", "Stop jobs from firing"),
    Entry("resume", "Change", "Let paused jobs fire again"),
    Entry("remove", "Change", "Remove jobs", ("rm",)),
    Entry("trigger", "Change", "Queue a run of a job now"),
    Entry("cancel", "Change", "Stop runs, queued or running"),
    Entry("retry", "Change", "Run again what is done"),
    Entry("apply", "Change", "Make the jobs those of a file, and show what that moves"),
    Entry("export", "Change", "Print the jobs as a file that `cronq apply` takes"),
    Entry("import", "Change", "Take over a crontab, or systemd timers"),
    Entry("calendars", "Change", "Show the calendars that jobs share, and add or remove one"),
    Entry("show", "Look", "Show one job in full"),
    Entry("runs", "Look", "Show the history of runs"),
    Entry("logs", "Look", "Show the output of a run"),
    Entry("why", "Look", "Explain why a job ran, ran late or did not run"),
    Entry("overdue", "Look", "Say which jobs lack a success that should be there by now"),
    Entry("simulate", "Look", "Say what would run, wait, be skipped or missed in a period"),
    Entry("status", "Look", "Show whether a scheduler runs, and where the database is"),
    Entry("tick", "CI", "Run what became due since the last tick, then exit"),
    Entry("state", "CI", "Write, bring in or merge the portable state of ticks"),
    Entry("lock", "Maintain", "Take a named lock for a command outside, or show who holds which"),
    Entry("check", "Maintain", "Look for what may be wrong with the jobs, and check their assertions"),
    Entry("exec", "Maintain", "Run a job's command here and now, in the scheduler's environment"),
    Entry("db", "Maintain", "Say which database is in use, migrate it, or move to another one"),
    Entry("backup", "Maintain", "Copy the database while it is in use"),
    Entry("restore", "Maintain", "Put a copy of the database back in its place"),
    Entry("audit", "Maintain", "Prove that every fire time is accounted for, or say which is not"),
    Entry("doctor", "Maintain", "Check that everything is in order, and say what to do if not"),
    Entry("prune", "Maintain", "Remove finished runs that are beyond their limits, and their logs"),
    Entry("init", "Maintain", "Make a database for this project, or accept the one it has"),
    Entry("ci", "Maintain", "Write the workflow file of a CI service that runs the jobs"),
    Entry("completion", "Maintain", "Print the completion script for a shell"),
    Entry("help", "Maintain", "Explain a topic or a command"),
)

TOPICS = {
    "schedules": "how a schedule is written",
    "exit-codes": "what each exit code means",
    "environment": "the variables that cronq reads and sets",
    "json": "the keys of `--json`",
    "systemd": "a unit file that is ready to use",
    "postgres": "one ledger for several machines",
}


def entry_named(name: str) -> Entry | None:
    """Return the command of that name or alias."""
    for entry in ENTRIES:
        if name == entry.name or name in entry.aliases:
            return entry
    return None


def all_names() -> list[str]:
    """Return all names and aliases."""
    return [name for entry in ENTRIES for name in (entry.name, *entry.aliases)]
