"""Answers for the shells' completion: names from the database, in a few milliseconds or not at all.

It is called on a key press, so it imports neither Typer nor dataclasses (which alone cost more than the whole
answer), and says nothing on any trouble. It finds the database by the rules of `cronq.store.location` in
fewer words; a test holds the two together.
"""
# pathlib alone would cost a fifth of the time there is:
# ruff: noqa: PTH109, PTH111, PTH112, PTH113, PTH116, PTH118, PTH120, PTH123

import os
import sys
from collections.abc import Callable, Iterable, Mapping

LIMIT = 500
_SERVERS = ("postgresql:", "postgres:", "postgresql+")

_JOBS = """
    SELECT job.name, json_extract(definition.document, '$.schedule')
      FROM job JOIN definition ON definition.job_id = job.id AND definition.revision = job.revision
     WHERE job.removed_at IS NULL AND job.name >= ? AND job.name < ?
     ORDER BY job.name LIMIT ?
"""
_RUNS = """
    SELECT run.id, job.name || ' ' || coalesce(run.outcome, run.state)
      FROM run JOIN job ON job.id = run.job_id
     WHERE cast(run.id AS text) >= ? AND cast(run.id AS text) < ?
     ORDER BY run.id DESC LIMIT ?
"""


def complete(arguments: list[str]) -> int:
    """Print the words that begin with a prefix, one a line, `word<TAB>description`; always return 0."""
    kind, prefix = (*arguments, "", "")[:2]
    try:
        lines = [_line(word, about) for word, about in words(kind, prefix, os.environ)]
        if lines:
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()
    except Exception:  # noqa: S110 - a message in the middle of a command line helps nobody
        pass
    return 0


def words(kind: str, prefix: str, environ: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Return words of a kind, `jobs`, `runs` or `zones`, each with a description."""
    source: Callable[[], Iterable[tuple[str, str]]] | None = {
        "jobs": lambda: _rows(_JOBS, prefix, environ),
        "runs": lambda: _rows(_RUNS, prefix, environ),
        "zones": lambda: _zones(prefix),
    }.get(kind)
    return source() if source else ()


def _line(word: str, about: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else "?" for c in f"{word}\t{about}")


def _rows(query: str, prefix: str, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    path = database(environ, os.getcwd())
    if path is None or not os.path.isfile(path) or not _is_mine(path):
        return []
    import sqlite3

    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = sqlite3.connect(f"file:{quoted}?mode=ro", uri=True, timeout=0.1)
    try:
        found = connection.execute(query, (prefix, prefix + "\U0010ffff", LIMIT)).fetchall()
    finally:
        connection.close()
    return [(str(word), str(about)) for word, about in found]


def database(environ: Mapping[str, str], cwd: str) -> str | None:
    """Return the path of the database; None if it was found by walking up and is not trusted."""
    if environ.get("CRONQ_DB", "").startswith(_SERVERS):
        return None  # it may be far away
    if environ.get("CRONQ_DB"):
        return os.path.realpath(os.path.join(cwd, os.path.expanduser(environ["CRONQ_DB"])))
    home = environ.get("HOME") or os.path.expanduser("~")
    project = _nearest_project(cwd, environ.get("HOME"))
    if project is not None:
        return os.path.join(project, "cronq.db") if _is_trusted(project, environ, home) else None
    if environ.get("STATE_DIRECTORY"):
        return os.path.join(environ["STATE_DIRECTORY"].split(":")[0], "cronq.db")
    data = environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
    return os.path.realpath(os.path.join(data, "cronq", "cronq.db"))


def _nearest_project(cwd: str, home: str | None) -> str | None:
    device = os.stat(cwd).st_dev
    directory = cwd
    while os.stat(directory).st_dev == device:
        candidate = os.path.join(directory, ".cronq")
        if os.path.isdir(candidate):
            return os.path.realpath(candidate)
        parent = os.path.dirname(directory)
        if directory == home or parent == directory:
            return None
        directory = parent
    return None


def _is_trusted(project: str, environ: Mapping[str, str], home: str) -> bool:
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    try:
        with open(os.path.join(config, "cronq", "trusted"), encoding="utf-8") as file:
            return project in file.read().splitlines()
    except (OSError, UnicodeDecodeError):
        return False


def _is_mine(path: str) -> bool:
    return os.stat(path).st_uid in {os.geteuid(), 0}


def _zones(prefix: str) -> list[tuple[str, str]]:
    from cronq.schedule.zones import zone_names

    wanted = prefix.lower()
    return [(name, "") for name in zone_names() if name.lower().startswith(wanted)][:LIMIT]
