"""Importing the functions of jobs into a worker that lives longer than one of them."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any


class ModuleCache:
    """Modules imported for jobs, kept while they are still the right ones.

    Two jobs may each have a `tasks.py` in their working directory, and a file may be edited while a worker
    stays warm. So modules below the job's directory are dropped when the next job has another directory, or
    when one of them has changed. Modules from elsewhere (installed packages) stay as long as the worker.
    """

    def __init__(self) -> None:
        self._baseline = frozenset(sys.modules)
        self._home = ""
        self._count = 0
        self._local: dict[str, tuple[str, int]] = {}

    def load(self, target: str, home: str) -> Callable[..., Any]:
        """Return the function `pkg.mod:func`, importing it with `home` first on the path.

        Raises:
            Exception: Whatever the import raises; AttributeError or TypeError if there is no such function.
        """
        if home != self._home or self._has_changed():
            self._forget()
            self._home = home
        module_name, _, path = target.partition(":")
        found: Any = sys.modules.get(module_name) or importlib.import_module(module_name)
        self._take_note()
        for name in path.split("."):
            found = getattr(found, name)
        if not callable(found):
            raise TypeError(f"{target} is not callable")
        function: Callable[..., Any] = found
        return function

    def _has_changed(self) -> bool:
        return any(_modified_at(path) != modified for path, modified in self._local.values())

    def _forget(self) -> None:
        for name in self._local:
            sys.modules.pop(name, None)
        self._local.clear()
        self._count = 0
        importlib.invalidate_caches()

    def _take_note(self) -> None:
        if len(sys.modules) == self._count:
            return
        self._count = len(sys.modules)
        home = self._home.rstrip("/") + "/"
        installed = (sys.prefix + "/", sys.base_prefix + "/")
        for name, module in list(sys.modules.items()):
            path = getattr(module, "__file__", None)
            if (
                path is not None
                and name not in self._baseline
                and name not in self._local
                and path.startswith(home)
                and not path.startswith(installed)
            ):
                self._local[name] = (path, _modified_at(path))


def _modified_at(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - for each attempt
    except OSError:
        return -1
