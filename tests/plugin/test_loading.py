"""The plugin as pytest finds it where cronq is installed: by its entry point, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs.readme import ROOT, marked

TEST = """
def test_night(cronq):
    world = cronq(at="2026-03-29T00:00 Europe/Berlin")
    world.run_until("2026-03-29T12:00")
    assert [run.outcome for run in world.runs("nightly")] == ["success"]
"""
JOBS = '[jobs.nightly]\nschedule = "30 2 * * *"\ncommand = ["true"]\n'


class Project:
    """Somebody's folder with tests, in an environment in which cronq is installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        installed = folder / "site"
        info = installed / "cronq_cli-0.0.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cronq-cli\nVersion: 0.0.0\n")
        points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
        lines = [f"{name} = {module}" for name, module in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines, ""]))
        home = folder / "home"
        home.mkdir()
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": f"{installed}{os.pathsep}{ROOT}",
            "LANG": "C.UTF-8",
        }

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def pytest(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-W",
                "error::ResourceWarning",
                "-m",
                "pytest",
                "-p",
                "no:cacheprovider",
                *arguments,
            ],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_test_of_the_readme_passes_with_the_jobs_of_the_readme(project: Project) -> None:
    assert len([line for line in marked("plugin").splitlines() if line.strip()]) == 5  # four, and its name
    project.write("cronq.toml", marked("jobs-as-code"))
    project.write("tests/test_schedules.py", marked("plugin"))
    done = project.pytest("-q")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "1 passed" in done.stdout


def test_until_the_fixture_is_used_nothing_of_cronq_is_imported(project: Project) -> None:
    project.write(
        "test_modules.py",
        "import json, pathlib, sys\n"
        "def test_modules():\n"
        "    found = sorted(name for name in sys.modules if name.startswith(('cronq', 'typer', 'sqlite3')))\n"
        "    pathlib.Path('found.json').write_text(json.dumps(found))\n",
    )
    done = project.pytest("-q")
    assert done.returncode == 0, done.stdout
    found = json.loads((project.folder / "found.json").read_text())
    assert found == ["cronq", "cronq.pytest_plugin"]


def test_plugin_can_be_switched_off(project: Project) -> None:
    project.write("cronq.toml", JOBS)
    project.write("test_night.py", TEST)
    assert project.pytest("-q").returncode == 0
    done = project.pytest("-q", "-p", "no:cronq")
    assert done.returncode == 1
    assert "fixture 'cronq' not found" in done.stdout


def test_fixture_of_the_same_name_in_a_test_suite_comes_first(project: Project) -> None:
    project.write("conftest.py", "import pytest\n@pytest.fixture\ndef cronq():\n    return 'mine'\n")
    project.write("test_mine.py", "def test_mine(cronq):\n    assert cronq == 'mine'\n")
    assert project.pytest("-q").returncode == 0


def test_failure_shows_the_line_of_the_test_and_none_of_ours(project: Project) -> None:
    project.write("cronq.toml", JOBS.replace("schedule", "scedule"))
    project.write("test_night.py", TEST)
    done = project.pytest("-q")
    assert done.returncode == 1
    assert "error: cronq.toml:2:1: unknown key `scedule`" in done.stdout
    assert "hint: did you mean `schedule`?" in done.stdout
    assert 'world = cronq(at="2026-03-29T00:00 Europe/Berlin")' in done.stdout
    assert "cronq/testing.py" not in done.stdout
    assert "pytest_plugin.py" not in done.stdout


def test_fixture_is_listed_with_its_sentence(project: Project) -> None:
    done = project.pytest("-q", "--fixtures")
    assert "Make worlds in which the jobs of a `cronq.toml` live on a virtual clock" in done.stdout


def test_plugin_works_under_xdist(project: Project) -> None:
    pytest.importorskip("xdist")
    project.write("cronq.toml", JOBS)
    for number in range(4):
        project.write(f"test_night{number}.py", TEST)
    done = project.pytest("-q", "-n", "2")
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
