"""What every command imports stays light: a start-up that nobody notices is a feature."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import cronq

HEAVY = (
    "asyncio",
    "concurrent.futures",
    "croniter",
    "ctypes",
    "dateutil",
    "difflib",
    "filelock",
    "importlib.metadata",
    "multiprocessing",
    "psycopg",
    "pydantic",
    "rich",
    "urllib3",
)


def modules_after(code: str) -> set[str]:
    """Return what a fresh interpreter has imported after this code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"],
        cwd=Path(cronq.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def at_start() -> set[str]:
    return modules_after("")


@pytest.mark.parametrize(
    "code",
    [
        "import cronq.store, cronq.plan, cronq.schedule, cronq.model",
        "import cronq.store; from cronq.schedule import parse; parse('0 9 * * mon').next_us(0)",
        "import cronq.lock, cronq.doorbell, cronq.systemd, cronq.scheduler, cronq.reporter, cronq.waiting",
    ],
    ids=["store, plan, schedule", "a schedule at work", "scheduler"],
)
def test_importing_stays_light(at_start: set[str], code: str) -> None:
    imported = modules_after(code) - at_start
    assert not [module for module in HEAVY if module in imported]


def test_front_door_imports_nothing_of_cronq(at_start: set[str]) -> None:
    imported = modules_after("import cronq.__main__") - at_start
    assert {module for module in imported if module.startswith("cronq.")} == {"cronq.__main__"}


def test_opening_and_listing_stays_light(at_start: set[str], tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from cronq.store import Place, open_store
folder = Path({str(tmp_path)!r})
store = open_store(Place(folder / "cronq.db", folder / "logs", "test"), create=True, environ={{}})
store.overviews(), store.totals(), store.trigger([], now=0)
store.close()
"""
    imported = modules_after(code) - at_start
    assert not [module for module in HEAVY if module in imported]
