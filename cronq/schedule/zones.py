"""Time zones by their IANA keys, strictly, and from the newest data there is.

Both the operating system and the `tzdata` package carry the database, and their versions disagree
about real dates. The newer one wins, whatever the order in which `zoneinfo` would look.

Source: https://data.iana.org/time-zones/theory.html for names; RFC 8536 for the files.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cronq.errors import TimezoneError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_+\-]*(?:/[A-Za-z0-9_+\-]+)*")
_MAX_KEY = 64
_NOT_ZONES = ("Factory", "localtime", "posixrules", "leapseconds", "tzdata.zi", "+VERSION")
_NOT_TREES = ("posix/", "right/")
_VERSION_LINE = re.compile(r"# version (\S+)")
_VERSION_FILES = ("tzdata.zi", "+VERSION")

_Trace = tuple[tuple[int, int, int] | None, ...]


class TzdataVersion(NamedTuple):
    """The version of the zone data in use, such as `2025b`, and where it lies: `system` or `package`."""

    version: str
    source: str


class _Source(NamedTuple):
    """A folder of zone data; `trace` is what `stat` said of it before anything in it was read."""

    version: TzdataVersion
    folder: Path
    trace: _Trace


def zone(name: str) -> ZoneInfo:
    """The zone with this IANA key.

    Raises:
        TimezoneError: The name is no key, or its file holds no zone (rule 18).
    """
    found = _load(name)
    if found is None:
        raise TimezoneError(f"unknown time zone `{_shown(name)}`", hint=_hint(name))
    return found


def is_zone(name: str) -> bool:
    """Whether `zone` would accept the name."""
    return _load(name) is not None


@lru_cache(maxsize=1024)
def _load(name: str) -> ZoneInfo | None:
    if len(name) > _MAX_KEY or not _KEY.fullmatch(name):
        return None
    if name in _NOT_ZONES or name.startswith(_NOT_TREES):
        return None
    for folder in _folders():
        if (found := _zone_file(folder, name)) is not None:
            return found
    return None


def _zone_file(folder: Path, name: str) -> ZoneInfo | None:
    from zoneinfo import ZoneInfo

    path = folder / name
    try:
        with path.open("rb") as file:
            return ZoneInfo.from_file(file, key=name)
    except (OSError, ValueError, EOFError):
        # A directory, a missing file or one that is not TZif (`zone.tab`): all mean "no such zone".
        return None


def tzdata_version() -> TzdataVersion:
    """The version of the data in use and its source; `("unknown", …)` where the data does not tell."""
    return _ranked()[0].version if _ranked() else TzdataVersion("none", "none")


def were_replaced() -> bool:
    """Whether other data lie there now than were first read; costs three calls of `stat` a source.

    Not while a folder is missing altogether: then somebody is about to replace it.
    """
    traces = [_trace(source.folder) for source in _ranked()]
    return traces != [source.trace for source in _ranked()] and all(trace[0] for trace in traces)


def forget() -> None:
    """Let the data be read anew; who remembers zones must forget them too (`cronq.timing`)."""
    _load.cache_clear()
    _ranked.cache_clear()
    sys.modules.pop("tzdata", None)  # for its version
    importlib.invalidate_caches()


def _trace(folder: Path) -> _Trace:
    return tuple(_mark(folder / name) for name in ("", *_VERSION_FILES))


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_ino, info.st_size, info.st_mtime_ns


def _folders() -> list[Path]:
    return [source.folder for source in _ranked()]


@lru_cache(maxsize=1)
def _ranked() -> list[_Source]:
    """The two sources, newest first; the system's when they are equal or its version is unknown."""
    found = []
    if (system := _system_folder()) is not None:
        trace = _trace(system)
        found.append(_Source(TzdataVersion(_system_version(system), "system"), system, trace))
    if (package := _package_folder()) is not None:
        found.append(_Source(*package, _trace(package[1])))
    # `sorted` keeps the order of equals; "unknown" must not beat a version, "2026f" > "2025b".
    return sorted(found, key=lambda source: _rank(source.version.version), reverse=True)


def _rank(version: str) -> str:
    return version if version[:4].isdigit() else ""


def _system_folder() -> Path | None:
    from zoneinfo import TZPATH

    for path in TZPATH:
        if (Path(path) / "UTC").is_file():
            return Path(path)
    return None


def _system_version(folder: Path) -> str:
    try:
        with (folder / "tzdata.zi").open(encoding="ascii", errors="replace") as file:
            if found := _VERSION_LINE.match(file.readline(100)):
                return found[1]
    except OSError:
        pass
    try:
        return (folder / "+VERSION").read_text(encoding="ascii", errors="replace").strip()[:20]
    except OSError:
        return "unknown"


def _package_folder() -> tuple[TzdataVersion, Path] | None:
    try:
        import tzdata  # type: ignore[import-untyped]
    except ImportError:
        return None
    if not tzdata.__file__:
        return None
    version = str(getattr(tzdata, "IANA_VERSION", "unknown"))
    return TzdataVersion(version, "package"), Path(tzdata.__file__).parent / "zoneinfo"


def zone_names() -> list[str]:
    """All keys, sorted; reads the directories, so only an error or a listing pays for it."""
    names: set[str] = set()
    for folder in _folders():
        for path in folder.rglob("*"):
            name = path.relative_to(folder).as_posix()
            if "." not in name and _KEY.fullmatch(name) and path.is_file():
                names.add(name)
    return sorted(name for name in names if name not in _NOT_ZONES and not name.startswith(_NOT_TREES))


def _shown(name: str) -> str:
    cut = name if len(name) <= _MAX_KEY else name[:_MAX_KEY] + "…"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cut)


def _hint(name: str) -> str:
    near = suggestions(name)
    if near:
        return "did you mean " + " or ".join(f"`{key}`" for key in near) + "?"
    return "zones have IANA names such as `Europe/Berlin` or `UTC`"


def suggestions(name: str) -> list[str]:
    """At most three keys that look like a wrong one."""
    from difflib import get_close_matches

    if len(name) > _MAX_KEY:
        return []
    names = zone_names()
    wanted = name.lower().replace(" ", "_").strip("/")
    for prefix in _NOT_TREES:
        wanted = wanted.removeprefix(prefix)
    folded = {key.lower(): key for key in names}
    if wanted in folded:
        return [folded[wanted]]
    cities = [key for key in names if key.lower().rpartition("/")[2] == wanted]
    if cities:
        return cities[:3]
    near = get_close_matches(wanted, list(folded), n=3, cutoff=0.6)
    return [folded[key] for key in near]


def local_zone_name() -> str:
    """The IANA key of this machine's zone, or `UTC` when it does not tell.

    Asked in this order: the variable TZ, /etc/timezone, where /etc/localtime points.

    Source: tzset(3), timezone(5) and localtime(5).
    """
    candidates = [os.environ.get("TZ", "").removeprefix(":")]
    candidates.append(_first_line(Path("/etc/timezone")))
    candidates.append(_link_key(Path("/etc/localtime")))
    for name in candidates:
        if name and is_zone(name):
            return "UTC" if name == "Etc/UTC" else name
    return "UTC"


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").partition("\n")[0].strip()
    except OSError:
        return ""


def _link_key(path: Path) -> str:
    return _after_zoneinfo(_link_text(path)) or _after_zoneinfo(os.path.realpath(path))


def _link_text(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _after_zoneinfo(path: str) -> str:
    return path.partition("zoneinfo/")[2]
