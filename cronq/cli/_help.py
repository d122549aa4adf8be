"""Help: two examples first, then usage, description and options. Plain text, within 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from inspect import cleandoc
from typing import TYPE_CHECKING

from cronq.cli._commands import ENTRIES, TOPICS
from cronq.cli._options import names_in, shared
from cronq.cli._session import Session

if TYPE_CHECKING:
    import typer

    from cronq.cli._options import Parameter

_WIDTH = 80
_COLUMN = 26
_ZONE_HELP = "Zone of the schedule (default: this machine's, or the job's)."


def show_help(ctx: typer.Context) -> None:
    """Write the help of the command that a context belongs to."""
    session = Session.of(ctx)
    module_name = getattr(ctx.command, "module_name", "")
    if not module_name:
        session.lines(short_help())
        return
    session.lines(command_help(module_name, ctx.command.params))  # type: ignore[arg-type]


def short_help() -> list[str]:
    """Return the grouped list of commands; imports none of them."""
    lines = [
        "cronq: the cron that accounts for every due time",
        "",
        "Examples:",
        "  cronq add hello 'every 1m' -- echo hi",
        "  cronq run",
        "",
        "Usage: cronq COMMAND [options]",
    ]
    for group in dict.fromkeys(entry.group for entry in ENTRIES):
        lines += ["", f"{group}:"]
        lines += [f"  {e.name:<11} {e.summary}" for e in ENTRIES if e.group == group]
    topics = ", ".join(TOPICS)
    return [*lines, "", "More: cronq COMMAND --help", f"      cronq help TOPIC   ({topics})"]


def command_help(module_name: str, parameters: Sequence[Parameter]) -> list[str]:
    """Return the help of one command."""
    module = import_module(module_name)
    name = module_name.rpartition(".")[2]
    lines = ["Examples:", *(f"  {example}" for example in getattr(module, "EXAMPLES", ()))]
    lines += ["", f"Usage: cronq {getattr(module, 'USAGE', name)}", ""]
    for paragraph in cleandoc(module.command.__doc__ or "").split("\n\n"):
        lines += [*_wrapped(paragraph, _WIDTH), ""]
    lines.pop()
    everywhere = set(names_in(shared))
    options = [p for p in parameters if p.param_type_name == "option" and not getattr(p, "hidden", False)]
    for title, chosen in (
        ("Options:", [p for p in options if p.name not in everywhere]),
        ("Everywhere:", [p for p in options if p.name in everywhere]),
    ):
        if chosen:
            lines += ["", title]
            for parameter in chosen:
                lines += _option_lines(parameter, defines=name in {"add", "set", "next"})
    return lines


def _option_lines(parameter: Parameter, *, defines: bool) -> list[str]:
    label = "  " + _label(parameter)
    text = _wrapped(
        _ZONE_HELP if defines and parameter.name == "tz" else parameter.help or "", _WIDTH - _COLUMN
    )
    if len(label) + 2 > _COLUMN:
        return [label, *(" " * _COLUMN + line for line in text)]
    first = label.ljust(_COLUMN) + (text[0] if text else "")
    return [first.rstrip(), *(" " * _COLUMN + line for line in text[1:])]


def _label(parameter: Parameter) -> str:
    spellings = sorted(parameter.opts, key=len)
    label = ", ".join([*spellings, *parameter.secondary_opts])
    return label if getattr(parameter, "is_flag", False) else f"{label} {parameter.metavar or 'VALUE'}"


def _wrapped(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
