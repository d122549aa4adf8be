"""The `%` in a crontab's commands: where a command ends, and what it reads."""

from __future__ import annotations


def split_input(text: str) -> tuple[str, str | None]:
    r"""Return the command, and what is written to its standard input; None: nothing is.

    The first `%` without a backslash ends the command; later ones are line ends. In the command `\%` is `%`
    and `\\` is `\`; in the input only `\%` is special, and a last line end is added if there is none.

    Source: the child process of cron, which is the same in Debian's cron and in cronie.
    """
    command: list[str] = []
    escaped = False
    for at, char in enumerate(text):
        if escaped:
            if char in "%\\":
                command.pop()
            command.append(char)
            escaped = False
        elif char == "%":
            return "".join(command), _input(text[at + 1 :])
        else:
            command.append(char)
            escaped = char == "\\"
    return "".join(command), None


def _input(text: str) -> str | None:
    if not text:
        return None
    written: list[str] = []
    escaped = needs_end = False
    for char in text:
        if escaped and char != "%":
            written.append("\\")
        put = "\n" if char == "%" and not escaped else char
        escaped = put == "\\"
        if not escaped:
            written.append(put)
            needs_end = put != "\n"
    if escaped:
        written.append("\\")
    return "".join(written) + ("\n" if needs_end else "")
