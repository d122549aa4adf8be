"""How errors are said: `error:`, the place, `hint:`, in at most four lines each, on standard error."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cronq.errors import CronqError, ExitCode, InvariantError, UsageError
from cronq.render.text import Tone, Word, paint, plain, width_of

if TYPE_CHECKING:
    from typer import TyperException

    from cronq.cli._session import Session


class Problems(UsageError):
    """Several things are wrong with one request; all of them are told at once."""

    def __init__(self, errors: list[CronqError]) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = errors
        self.exit_code = errors[0].exit_code


def raise_all(problems: list[CronqError]) -> None:
    """Raise what was found wrong, if anything."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise Problems(problems)


def errors_in(error: CronqError) -> list[CronqError]:
    """Return the errors that one stands for."""
    return error.errors if isinstance(error, Problems) else [error]


def report(error: CronqError, session: Session) -> int:
    """Tell a person what is wrong; return the exit code."""
    color = session.terminal.err_color
    for one in errors_in(error):
        for line in error_lines(one, session.terminal.width, color=color):
            session.terminal.err.write(f"{line}\n")
    return int(error.exit_code)


def error_lines(error: CronqError, width: int = 80, *, color: bool = False) -> list[str]:
    """Return the lines of one error."""
    lines = [f"{paint(Word('error:', Tone.RED), color=color)} {plain(error.message)}"]
    if error.text is not None and error.text.strip() and error.span is not None:
        lines += _pointed(error.text, error.span, width)
    lines += [f"  {plain(detail)}" for detail in error.details]
    if error.hint:
        lines.append(f"hint: {plain(error.hint)}")
    return lines


def _pointed(text: str, span: tuple[int, int], width: int) -> list[str]:
    """Return the text and a caret line under the span; of a long text only the neighbourhood."""
    start, end = max(0, span[0]), max(span[1], span[0] + 1)
    room = max(20, width - 4)
    first = 0
    if len(text) > room:
        first = max(0, min(start - room // 3, len(text) - room))
    last = min(len(text), first + room)
    before = plain(text[first:start])
    marked = plain(text[start : min(end, last)]) or " "
    shown = plain(text[first:last])
    return [f"  {shown}", "  " + " " * width_of(before) + "^" * width_of(marked)]


def from_typer(error: TyperException, command: str) -> UsageError:
    """Return Typer's usage error in our words.

    Args:
        error: As Typer raised it; its words are of Click's making.
        command: Which command was parsed, as in `cronq list`.
    """
    option = getattr(error, "option_name", None)
    if option is not None and type(error).__name__ == "NoSuchOption":
        return UsageError(f"no option `{plain(option)}` for `{command}`", hint=_near(error, command))
    message = error.format_message().strip()
    missing = re.match(r"Missing (?:argument|option) '?([^'.]+)'?\.?", message)
    if missing:
        return UsageError(
            f"{missing[1].strip('{}[]').removesuffix('...')} is missing", hint=_usage(error, command)
        )
    extra = re.match(r"Got unexpected extra argument\(s\) \((.*)\)$", message, re.DOTALL)
    if extra:
        return UsageError(f"`{command}` does not take `{extra[1]}`", hint=_usage(error, command))
    invalid = re.match(r"Invalid value for (.+?): (.*)$", message, re.DOTALL)
    if invalid:
        name = invalid[1].split(" / ")[0].strip("'")
        message = f"{name}: {_value_problem(invalid[2])}"
    else:
        message = message[:1].lower() + message[1:]
    text = re.sub(r"'([^']*)'", r"`\1`", message.rstrip("."))
    return UsageError(plain(text), hint=f"see {command} --help")


def _value_problem(text: str) -> str:
    """Return what Click says about a value, in our words."""
    text = re.sub(r"is not in the range x>=(\d+)", r"is less than \1", text)
    text = re.sub(r"is not in the range (\d+)<=x<=(\d+)", r"is out of range \1 to \2", text)
    text = re.sub(r"is not a valid (int|integer)( range)?", "is not a whole number", text)
    return text.replace("is not one of", "is none of")


def _near(error: TyperException, command: str) -> str:
    near = sorted(getattr(error, "possibilities", None) or ())[:3]
    if near:
        return f"did you mean {' or '.join(f'`{name}`' for name in near)}?"
    return f"see {command} --help"


def _usage(error: TyperException, command: str) -> str:
    context = getattr(error, "ctx", None)
    module_name = getattr(getattr(context, "command", None), "module_name", "")
    if not module_name:
        return f"see {command} --help"
    from importlib import import_module

    return f"usage: cronq {getattr(import_module(module_name), 'USAGE', '')}"


def report_bug(error: BaseException, session: Session) -> int:
    """Tell that cronq itself failed; keep the traceback where only this user can read it."""
    import traceback

    text = "".join(traceback.format_exception(error))
    if session.environment.environ.get("CRONQ_DEBUG"):
        session.terminal.err.write(text)
        return int(ExitCode.BUG)
    summary = f"this is a bug in cronq: {type(error).__name__}: {error}".splitlines()[0]
    shown = InvariantError(summary, hint=f"the details are in {_kept(text)}; please report it")
    return report(shown, session)


def _kept(text: str) -> str:
    import os
    import tempfile

    try:
        fd, path = tempfile.mkstemp(prefix="cronq-bug-", suffix=".txt")  # mode 0600
        with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return "CRONQ_DEBUG=1 cronq …"
    return path
