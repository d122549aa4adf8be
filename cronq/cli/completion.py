"""`cronq completion`: print the completion script for a shell."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cronq.cli._session import Session

USAGE = "completion bash|zsh|fish"
EXAMPLES = (
    "cronq completion bash > ~/.local/share/bash-completion/completions/cronq",
    "cronq completion fish > ~/.config/fish/completions/cronq.fish",
)


class Shell(StrEnum):
    """The shells that there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def command(
    ctx: typer.Context,
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", show_default=False)],
) -> int:
    """Print the completion script for bash, zsh or fish.

    For zsh, put it into a folder of $fpath, under the name `_cronq`.
    """
    from cronq.cli.completions import script

    Session.of(ctx).terminal.out.write(script(shell.value))
    return 0
