"""The lazy command tree: Typer parses, and a command's module is imported only when it is called."""

# Typer hands everything through as keyword arguments of any kind, and calls with arguments we do not need:
# ruff: noqa: ANN401, ARG002
from __future__ import annotations

import gc
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from cronq.cli._commands import ENTRIES, Entry, all_names, entry_named
from cronq.cli._options import borrowed, names_in, shared
from cronq.cli._session import Session
from cronq.errors import UsageError

if TYPE_CHECKING:
    # Typer carries its own Click; its context type has no public name but as a parameter.
    from typer._click.core import Command as ClickCommand
    from typer._click.core import Context

_SETTINGS: dict[str, Any] = {"help_option_names": []}  # `-h` and `--help` are options of our own


class CronqCommand(TyperCommand):
    """A command with the shared options, whose values go into the session."""

    template: Callable[..., None] | None = None
    """Declares further options that are handed over unread, in `Session.fields`."""
    takes_argv = False
    """Words after `--` are a job's command; elsewhere `--` only ends the options."""
    module_name = ""

    def __init__(self, name: str | None, **attributes: Any) -> None:
        super().__init__(name, **attributes)
        if self.template is not None:
            self.params += borrowed(self.template)
        self.params += borrowed(shared)

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse what stands before `--`; Click would forget where that was."""
        cast("Session", ctx.obj).command = ctx.command_path
        if self.takes_argv and "--" in args:
            border = args.index("--")
            cast("Session", ctx.obj).argv = tuple(args[border + 1 :])
            args = args[:border]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Context) -> Any:
        """Move the shared options into the session, and call the command."""
        # The front door turned it off. What is imported by now stays, and need not be looked at again.
        if not gc.isenabled():
            gc.freeze()
            gc.enable()
        session = cast("Session", ctx.obj)
        _take_shared(ctx, session)
        if self.template is not None:
            session.fields = {name: ctx.params.pop(name) for name in names_in(self.template)}
        return super().invoke(ctx)


def _take_shared(ctx: Context, session: Session) -> None:
    values = {name: ctx.params.pop(name, None) for name in names_in(shared)}
    del values["help"]
    session.options = session.options.merged(values)


class CronqGroup(TyperGroup):
    """The root: knows the commands by the table, and each of them only when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.params += borrowed(shared)

    def list_commands(self, ctx: Context) -> list[str]:
        """Return the names in the order of the table."""
        return [entry.name for entry in ENTRIES]

    def get_command(self, ctx: Context, cmd_name: str) -> ClickCommand | None:
        """Import a command."""
        entry = entry_named(cmd_name)
        return load(entry) if entry else None

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, ClickCommand | None, list[str]]:
        """Return the command, and what is left of the arguments."""
        entry = entry_named(args[0])
        if entry is None:
            raise unknown_command(args[0])
        return entry.name, load(entry), args[1:]

    def invoke(self, ctx: Context) -> Any:
        """Take the options before the command, then call it."""
        _take_shared(ctx, cast("Session", ctx.obj))
        return super().invoke(ctx)


def load(entry: Entry) -> TyperCommand:
    """Import a command's module, and return it for Typer."""
    module = import_module(entry.module)
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    kind = getattr(module, "COMMAND_CLASS", CronqCommand)
    app.command(name=entry.name, cls=kind, context_settings=_SETTINGS)(module.command)
    command = cast("TyperCommand", typer.main.get_command(app))
    command.module_name = entry.module  # type: ignore[attr-defined]
    return command


def unknown_command(name: str) -> UsageError:
    """Return the error for a command that does not exist."""
    from difflib import get_close_matches

    from cronq.render.text import plain

    near = get_close_matches(name, all_names(), n=3, cutoff=0.6)
    hint = "the commands: cronq --help"
    if near:
        hint = f"did you mean {' or '.join(f'`cronq {match}`' for match in near)}?"
    return UsageError(f"no command named `{plain(name)}`", hint=hint)


def _root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> int:
    session = Session.of(ctx)
    if version:
        from cronq import __version__

        session.line(f"cronq {__version__}")
    elif ctx.invoked_subcommand is None:
        from cronq.cli._help import short_help

        session.lines(short_help())
    return 0


def root() -> CronqGroup:
    """Return the command tree."""
    app = typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, suggest_commands=False
    )
    app.callback(cls=CronqGroup, invoke_without_command=True, context_settings=_SETTINGS)(_root)
    return cast("CronqGroup", typer.main.get_command(app))
