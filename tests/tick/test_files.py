"""What a tick leaves for an upload, and what it tells the CI that it runs in."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.tick.world import Project
from tests.unit.report.test_reports import check

DB = ("--db", "cronq.db", "--file", "cronq.toml")
JOBS = """\
[defaults]
tz = "UTC"
[jobs.fine]
schedule = "0 * * * *"
shell = "echo all is well"
[jobs.bad]
schedule = "0 * * * *"
secret = "TOKEN"
env-file = "secrets"
shell = "echo ::error::gotcha; echo '##[error]gotcha'; echo token is $TOKEN; exit 3"
[jobs.late]
schedule = "*/10 * * * *"
catch-up = "skip"
shell = "true"
"""


@pytest.fixture
def ticked(project: Project) -> Project:
    """A project whose first tick was at half past ten."""
    (project.folder / "secrets").write_text("TOKEN=hunter22\n")
    (project.folder / "secrets").chmod(0o600)
    project.jobs(JOBS)
    project.tick("2026-05-01T10:30Z", *DB)
    return project


def test_junit_has_a_case_for_each_fire_time(ticked: Project) -> None:
    ticked.tick("2026-05-01T11:05Z", *DB, "--junit", "out/report.xml", code=1)
    path = ticked.folder / "out" / "report.xml"
    root = ET.parse(path).getroot()
    check(root)
    cases = {(case.attrib["classname"], case.attrib["name"]): case for case in root.iter("testcase")}
    assert {name for name, _ in cases} == {"fine", "bad", "late"}
    assert [at for name, at in cases if name == "late"] == [
        f"2026-05-01T{time}:00Z" for time in ("10:40", "10:50", "11:00")
    ]
    output = cases["bad", "2026-05-01T11:00:00Z"].findtext("system-out") or ""
    assert "token is ***" in output
    rows = ticked.rows(*DB[:2])
    assert sum(row["fire_count"] for row in rows) == len(cases) == int(root.attrib["tests"])
    assert path.stat().st_mode & 0o777 == 0o600


def test_junit_of_a_tick_with_nothing_due_is_empty_and_valid(ticked: Project) -> None:
    ticked.tick("2026-05-01T10:31Z", *DB, "--junit", "report.xml", "--logs", "logs")
    root = ET.parse(ticked.folder / "report.xml").getroot()
    check(root)
    assert root.attrib["tests"] == "0"
    assert (ticked.folder / "logs").is_dir()


def test_more_fire_times_than_one_likes_to_read_share_a_case(project: Project) -> None:
    project.jobs('[jobs.often]\ntz = "UTC"\nschedule = "* * * * *"\nshell = "true"\n')
    project.tick("2026-05-01T00:00Z", *DB)
    project.tick("2026-05-03T00:00Z", *DB, "--junit", "report.xml")
    names = [case.attrib["name"] for case in ET.parse(project.folder / "report.xml").iter("testcase")]
    assert len(names) < 1010
    more = [int(name.split(" and ")[1].removesuffix(" more")) for name in names if " and " in name]
    assert len(more) == 1
    assert len(names) + more[0] == 2880


def test_logs_are_in_one_folder_masked_and_private(ticked: Project) -> None:
    ticked.tick("2026-05-01T11:05Z", *DB, "--logs", "logs", code=1)
    found = {path.name.split(".")[0]: path for path in (ticked.folder / "logs").iterdir()}
    assert found["fine"].read_text() == "all is well\n"
    assert "token is ***\n" in found["bad"].read_text()
    assert {path.stat().st_mode & 0o777 for path in found.values()} == {0o600}


@pytest.mark.parametrize("option", ["--junit", "--logs"])
def test_report_that_cannot_be_written_is_told_with_exit_1(ticked: Project, option: str) -> None:
    (ticked.folder / "taken").write_text("")
    target = "taken/report" if option == "--junit" else "taken"
    done = ticked.run("tick", *DB, "--now", "2026-05-01T10:31Z", option, target)
    assert done.code == 1
    assert "cannot be" in done.err


def test_github_gets_annotations_and_a_summary(ticked: Project) -> None:
    summary = ticked.folder / "summary.md"
    variables = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    done = ticked.run("tick", *DB, "--now", "2026-05-01T11:05Z", **variables)
    assert done.code == 1
    commands = [line for line in done.out.splitlines() if line.lstrip().startswith("::")]
    assert [line.split("::")[1].split(" ")[0] for line in commands] == ["error", "warning"]
    assert "hunter22" not in done.out + summary.read_text()
    assert "##[" not in done.out
    assert "| bad | 2026-05-01T11:00:00Z | ❌ failure: exit 3 | 5m |" in summary.read_text()
    # With --json standard output stays one object a line.
    done = ticked.run("tick", *DB, "--now", "2026-05-01T12:05Z", "--json", **variables)
    assert done.summary()["exit_code"] == 1
    assert done.err.startswith("::error ")


def test_summary_that_cannot_be_written_is_only_told(ticked: Project) -> None:
    variables = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "/nowhere/at/all"}
    done = ticked.run("tick", *DB, "--now", "2026-05-01T10:31Z", **variables)
    assert done.code == 0
    assert "/nowhere/at/all" in done.err


def test_gitlab_gets_sections(ticked: Project) -> None:
    done = ticked.run("tick", *DB, "--now", "2026-05-01T11:05Z", GITLAB_CI="true")
    assert done.out.count("\x1b[0Ksection_start:") == done.out.count("\x1b[0Ksection_end:") == 2
    assert "[collapsed=true]\n\x1b[0Kfine #" in done.out  # the carriage return, as Python reads it
    assert "hunter22" not in done.out


def test_without_a_ci_nothing_of_it_is_said(ticked: Project) -> None:
    done = ticked.run("tick", *DB, "--now", "2026-05-01T11:05Z")
    assert "::error title" not in done.out
    assert "section_start" not in done.out


def test_path_of_the_report_is_that_of_the_working_directory(ticked: Project, tmp_path: Path) -> None:
    ticked.tick("2026-05-01T10:31Z", *DB, "--junit", str(tmp_path / "elsewhere.xml"))
    assert (tmp_path / "elsewhere.xml").exists()
