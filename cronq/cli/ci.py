"""`cronq ci`: the workflow file of a CI service, so that jobs run there without a daemon."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from cronq.cli._ci_files import GITHUB, GITLAB, PLACES, text_of
from cronq.cli._session import Session
from cronq.errors import FileTaken, UsageError
from cronq.render.text import plain

USAGE = "ci init github|gitlab [--file FILE] [-o FILE] [--force]"
EXAMPLES = ("cronq ci init github", "cronq ci init gitlab -o .gitlab/cronq.yml")

_ODD = re.compile(r"[^\w./ +,:=-]")
_ORIGIN = re.compile(r'\[remote "origin"\][^\[]*?\n\s*url\s*=\s*(\S+)')


def command(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="INIT", show_default=False)] = None,
    file: Annotated[
        str, typer.Option("--file", metavar="FILE", help="Of the jobs (default: cronq.toml).")
    ] = "cronq.toml",
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write here; - is standard output."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> int:
    """Write a workflow that runs `cronq tick` twice an hour, and looks for overdue jobs once a day.

    For GitHub it is .github/workflows/cronq.yml, for GitLab .gitlab-ci.yml or, with -o, a file to include.
    The minutes follow from the name of the repository, and stay. cronq is pinned to this version.
    """
    session = Session.of(ctx)
    service = _service(words or [])
    cwd = session.environment.cwd()
    top = _top(cwd)
    jobs = _from_top(cwd, top, file)
    text = text_of(service, file=jobs, repository=_repository(top))
    if output == "-":
        session.lines(text.splitlines())
        return 0
    path = top / PLACES[service] if output is None else cwd / Path(output).expanduser()
    is_new = _write(path, text, force=force, service=service)
    shown = os.path.relpath(path, cwd)
    if session.options.json:
        session.json({"file": str(path), "service": service, "replaced": not is_new})
    elif session.options.quiet:
        session.line(shown)
    else:
        session.line(f"{'wrote' if is_new else 'replaced'} {shown}")
        _tell_what_is_next(session, service, path == top / PLACES[service], shown)
        if not (top / jobs).is_file():
            session.warn(f"there is no {jobs} yet: cronq export > {file}")
    return 0


def _service(words: list[str]) -> str:
    usage = f"usage: cronq {USAGE}"
    if not words:
        raise UsageError("there is no action", hint=usage)
    if words[0] != "init":
        raise UsageError(f"`{plain(words[0])}` is not init", hint=usage)
    if len(words) == 1:
        raise UsageError("github or gitlab is missing", hint=usage)
    if len(words) > 2:
        raise UsageError(f"`{plain(words[2])}` is too much", hint=usage)
    if words[1] not in PLACES:
        from difflib import get_close_matches

        near = get_close_matches(words[1], PLACES, n=1, cutoff=0.6)
        hint = f"did you mean `{near[0]}`?" if near else f"known are: {GITHUB}, {GITLAB}"
        raise UsageError(f"unknown CI service `{plain(words[1])}`", hint=hint)
    return words[1]


def _top(cwd: Path) -> Path:
    """Return the top of the repository; the working directory where there is none."""
    return next((folder for folder in (cwd, *cwd.parents) if (folder / ".git").exists()), cwd)


def _from_top(cwd: Path, top: Path, file: str) -> str:
    """Return the path of the file of jobs as the workflow needs it."""
    path = Path(os.path.normpath(cwd / Path(file).expanduser()))
    if not path.is_relative_to(top):
        raise UsageError(f"--file: {plain(file)} is not in this repository")
    found = str(path.relative_to(top))
    if odd := _ODD.search(found):
        # It stands in a file that others read, too: ${{ … }} would be a program there.
        raise UsageError(
            "--file: a character that does not belong into a workflow",
            hint="rename the file",
            text=found,
            span=odd.span(),
        )
    return found


def _repository(top: Path) -> str:
    """Return what names the repository wherever it is checked out; the name of its folder if nothing does."""
    try:
        found = _ORIGIN.search((top / ".git" / "config").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        found = None
    if found is None:
        return top.name
    # git@host:owner/name.git and https://host/owner/name are one.
    return "/".join(re.split(r"[/:]", found[1].removesuffix("/").removesuffix(".git"))[-2:]).lower()


def _write(path: Path, text: str, *, force: bool, service: str) -> bool:
    """Write a file; return whether there was none. Raises: FileTaken."""
    is_new = not os.path.lexists(path)
    if not is_new and not force:
        hint = "replace it with --force, or look at what it would be: -o -"
        if service == GITLAB:
            hint = "write another one with -o .gitlab/cronq.yml, and include it; or replace it with --force"
        raise FileTaken(f"there is a file {path} already", hint=hint)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    return is_new


def _tell_what_is_next(session: Session, service: str, is_in_place: bool, shown: str) -> None:
    if service == GITHUB:
        session.hint("commit it, and start it once by hand: Actions > cronq > Run workflow")
    else:
        if not is_in_place:
            session.hint(f"include it in .gitlab-ci.yml: include: [{{local: {shown}}}]")
        session.hint("commit it, and make the two schedules that it names: Build > Pipeline schedules")
