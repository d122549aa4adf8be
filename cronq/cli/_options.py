"""Options that several commands share, declared once as templates whose parameters are borrowed.

Annotations are objects here and in the other modules whose signatures Typer reads at every call: as strings
they would have to be evaluated each time.
"""

from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from typer.core import TyperArgument, TyperOption

    Parameter = TyperArgument | TyperOption


class ColorChoice(StrEnum):
    """When to use colours."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def _show_help(ctx: typer.Context, value: bool) -> None:
    if value:
        from cronq.cli._help import show_help

        show_help(ctx)
        raise typer.Exit


def shared(
    db: Annotated[str | None, typer.Option("--db", metavar="PATH", help="Use this database.")] = None,
    tz: Annotated[str | None, typer.Option("--tz", metavar="ZONE", help="Show times in this zone.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only names or numbers.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    color: Annotated[
        ColorChoice | None,
        typer.Option("--color", metavar="auto|always|never", help="Use colours (default: auto)."),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Tab-separated, as into a pipe.")] = False,
    header: Annotated[
        bool | None, typer.Option("--header/--no-header", help="Print the header of a table, or not.")
    ] = None,
    ascii: Annotated[bool, typer.Option("--ascii", help="Use ASCII characters only.")] = False,
    help: Annotated[
        bool, typer.Option("--help", "-h", is_eager=True, callback=_show_help, help="Show this help.")
    ] = False,
) -> None:
    """Declare the options that every command takes."""


@cache
def borrowed(template: Callable[..., None]) -> "tuple[Parameter, ...]":
    """Return the parameters that Typer reads from a template's signature; read once, since that is slow."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(context_settings={"help_option_names": []})(template)
    return tuple(typer.main.get_command(app).params)  # type: ignore[arg-type]


def names_in(template: Callable[..., None]) -> tuple[str, ...]:
    """Return the names of a template's parameters."""
    code = template.__code__
    return code.co_varnames[: code.co_argcount]
