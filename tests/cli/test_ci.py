"""The files of `cronq ci init`: valid by the published schemas, and what they execute works."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import cronq
from cronq import __version__
from cronq.cli._app import load
from cronq.cli._ci_files import STATE, text_of, times_for
from cronq.cli._commands import entry_named
from cronq.errors import ExitCode
from tests.cli.world import World

FILES = {"github": ".github/workflows/cronq.yml", "gitlab": ".gitlab-ci.yml"}
SCHEMAS = {
    "github": ("vendor.github-workflows",),
    "gitlab": ("vendor.gitlab-ci", "--data-transform", "gitlab-ci"),
}


def yaml_of(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@pytest.fixture
def repository(world: World) -> World:
    """A repository with a remote, and a file of jobs."""
    git = world.root / "work" / ".git"
    git.mkdir()
    (git / "config").write_text(
        '[core]\n\tbare = false\n[remote "origin"]\n\turl = git@host:Owner/name.git\n'
    )
    (world.root / "work" / "cronq.toml").write_text("[jobs.a]\nschedule = '@daily'\ncommand = ['true']\n")
    return world


@pytest.fixture(params=sorted(FILES))
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def written(world: World, service: str, *options: str) -> str:
    answer = world.run("ci", "init", service, *options)
    assert answer.code == 0, answer.err
    return (world.root / "work" / FILES[service]).read_text()


def commands_in(text: str, service: str) -> list[str]:
    """Return the shell lines that a file executes."""
    document = yaml_of(text)
    if service == "github":
        return [s["run"] for job in document["jobs"].values() for s in job["steps"] if "run" in s]
    jobs = [job for name, job in document.items() if isinstance(job, dict) and not name.startswith(".")]
    return [*document[".cronq"]["before_script"], *(line for job in jobs for line in job["script"])]


def test_file_is_valid_by_the_published_schema(repository: World, service: str) -> None:
    # The schemas of SchemaStore and GitLab come with the package; nothing is fetched.
    pytest.importorskip("check_jsonschema")
    written(repository, service)
    schema, *more = SCHEMAS[service]
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *more, FILES[service]],
        cwd=repository.root / "work",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_schema_finds_what_is_wrong(repository: World, service: str) -> None:
    """The check above can fail."""
    pytest.importorskip("check_jsonschema")
    text = written(repository, service)
    wrong = {
        "github": text.replace("runs-on: ubuntu-latest", "run-on: ubuntu-latest", 1),
        "gitlab": text.replace("when: always", "when: sometimes", 1),
    }[service]
    path = repository.root / "wrong.yml"
    path.write_text(wrong)
    schema, *more = SCHEMAS[service]
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *more, str(path)]
    assert subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode == 1


def test_actionlint_finds_nothing(repository: World) -> None:
    program = shutil.which("actionlint")
    if program is None:
        pytest.skip("actionlint is not installed")
    written(repository, "github")
    done = subprocess.run(
        [program, FILES["github"]], cwd=repository.root / "work", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_github_workflow_is_careful(repository: World) -> None:
    text = written(repository, "github")
    document = yaml_of(text)
    assert document["permissions"] == {"contents": "read"}
    tick, overdue = document["jobs"]["tick"], document["jobs"]["overdue"]
    assert tick["concurrency"] == {"group": "cronq", "cancel-in-progress": False}
    assert "concurrency" not in overdue, "it must not wait for a tick that hangs"
    assert all(job["timeout-minutes"] <= 40 for job in (tick, overdue))
    steps = {step.get("name", step.get("uses", "")): step for step in tick["steps"]}
    order = list(steps)
    assert (
        order.index("Restore the cursor")
        < order.index("Run what became due")
        < order.index("Save the cursor")
    )
    for name in ("Save the cursor", "Upload report and logs"):
        assert steps[name]["if"] == "always()"
    restore, save = steps["Restore the cursor"]["with"], steps["Save the cursor"]["with"]
    assert restore["path"] == save["path"] == STATE
    assert restore["key"] == save["key"]
    assert save["key"].startswith(restore["restore-keys"])
    # A key is never written twice, or the second state would be lost.
    assert "github.run_id" in save["key"]
    assert "github.run_attempt" in save["key"]
    # Each schedule starts one of the two jobs, and a person both.
    first, second = (entry["cron"] for entry in document["on"]["schedule"])
    assert tick["if"] == f"github.event.schedule != '{second}'"
    assert overdue["if"].endswith(f"github.event.schedule == '{second}'")
    assert first != second
    for use in re.findall(r"uses: (.*)", text):
        assert re.fullmatch(r"actions/[a-z/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use), use


def test_gitlab_file_is_careful(repository: World) -> None:
    document = yaml_of(written(repository, "gitlab"))
    tick, overdue = document["cronq-tick"], document["cronq-overdue"]
    assert (tick["resource_group"], tick["interruptible"]) == ("cronq", False)
    assert (tick["cache"]["when"], tick["artifacts"]["when"]) == ("always", "always")
    assert tick["cache"]["key"] == overdue["cache"]["key"]
    assert overdue["cache"]["policy"] == "pull"
    assert "resource_group" not in overdue
    assert tick["artifacts"]["reports"] == {"junit": "report.xml"}


def test_version_is_pinned(repository: World, service: str) -> None:
    install = commands_in(written(repository, service), service)[0]
    assert shlex.split(install)[-1] == f"cronq-cli[ping]=={__version__}"


def test_what_is_executed_is_known_to_cronq(repository: World, service: str) -> None:
    lines = [line for line in commands_in(written(repository, service), service) if "pip" not in line]
    assert [shlex.split(line)[1] for line in lines] == ["tick", "overdue"]
    for line in lines:
        _, name, *words = shlex.split(line)
        entry = entry_named(name)
        assert entry is not None
        known = {option for parameter in load(entry).params for option in parameter.opts}
        assert not {word for word in words if word.startswith("-")} - known, line


def test_steps_run_in_a_shell_as_the_service_does(repository: World, service: str, tmp_path: Path) -> None:
    """With stand-ins for pip and cronq that write down what they were given."""
    odd = "jobs of us/cron=q.toml"
    (repository.root / "work" / "jobs of us").mkdir()
    (repository.root / "work" / odd).write_text("")
    lines = commands_in(written(repository, service, "--file", odd), service)
    told = tmp_path / "told"
    for program in ("python", "cronq"):
        path = tmp_path / program
        path.write_text(f'#!/bin/sh\nprintf "%s\\n" "{program}" "$@" >> {told}\n')
        path.chmod(0o755)
    shell = (
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"] if service == "github" else ["sh", "-ec"]
    )
    for line in lines:
        environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        subprocess.run([*shell, line], env=environ, cwd=tmp_path, check=True, timeout=60)
    words = told.read_text().splitlines()
    assert words.count("python") == words.count(f"cronq-cli[ping]=={__version__}")
    assert words[words.index("tick") :][:3] == ["tick", "--file", odd]
    assert words[words.index("overdue") :][:5] == ["overdue", "--file", odd, "--state", STATE]


def test_steps_run_for_real(repository: World, service: str) -> None:
    """The tick's step and then the switch's, as shells of the service run them, and by their exit codes."""
    work = repository.root / "work"
    lines = commands_in(written(repository, service), service)
    tick, overdue = (next(line for line in lines if f"cronq {name} " in line) for name in ("tick", "overdue"))
    programs = repository.root / "programs"
    programs.mkdir()
    program = programs / "cronq"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m cronq "$@"\n')
    program.chmod(0o755)
    package = str(Path(cronq.__file__).parents[1])
    environ = {**repository.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": package}

    def step(line: str) -> subprocess.CompletedProcess[str]:
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
        argv = [*(shell if service == "github" else ["sh", "-ec"]), line]
        return subprocess.run(
            argv, env=environ, cwd=work, capture_output=True, text=True, timeout=120, check=False
        )

    def jobs(line: str) -> None:
        text = f'[jobs.a]\nschedule = "0 * * * *"\ntz = "UTC"\nshell = "{line}"\n'
        (work / "cronq.toml").write_text(text)

    jobs("echo hi")
    # Before the first tick there is no cursor, and that is no good news.
    assert step(overdue).returncode == ExitCode.STORE
    # A first tick, two days ago; none since then.
    assert step(f"cronq tick --state {STATE} --now '2d ago'").returncode == ExitCode.OK
    silence = step(overdue)
    assert silence.returncode == ExitCode.FAILED, silence.stderr
    assert "never" in silence.stdout
    # The next one catches up.
    done = step(tick)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    assert (work / "report.xml").is_file()
    assert len(list((work / "logs").iterdir())) == 1
    before = (work / STATE).read_bytes()
    well = step(overdue)
    assert well.returncode == ExitCode.OK, well.stdout + well.stderr
    assert (work / STATE).read_bytes() == before
    # The same with a job that fails, and without the database, as in a new runner.
    for path in work.joinpath(".cronq").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    jobs("exit 3")
    assert step(f"cronq tick --state {STATE} --now '2d ago'").returncode == ExitCode.OK
    assert step(tick).returncode == ExitCode.FAILED
    assert step(overdue).returncode == ExitCode.FAILED


def test_standard_output_holds_the_same_file(repository: World, service: str) -> None:
    text = written(repository, service)
    answer = repository.run("ci", "init", service, "-o", "-", tty=False)
    assert (answer.out, answer.err) == (text, "")


def test_minutes_follow_from_the_repository_wherever_it_is_checked_out(world: World) -> None:
    urls = ("git@host:Owner/name.git", "https://host/owner/name", "ssh://h/owner/name/")
    found = {_minutes_in(world, world.root / "work", f"file{n}", url) for n, url in enumerate(urls)}
    assert found == {times_for("owner/name").tick}
    (world.root / "work" / ".git" / "config").unlink()
    assert _minutes_in(world, world.root / "work", "none", None) == times_for("work").tick


def _minutes_in(world: World, cwd: Path, name: str, url: str | None) -> str:
    git = cwd / ".git"
    git.mkdir(exist_ok=True)
    if url is not None:
        (git / "config").write_text(f'[core]\n\tbare = false\n[remote "origin"]\n\turl = {url}\n')
    assert world.run("ci", "init", "github", "-q", "-o", f"{name}.yml").code == 0
    return str(yaml_of((cwd / f"{name}.yml").read_text())["on"]["schedule"][0]["cron"])


def test_minutes_are_spread_and_never_those_of_everybody() -> None:
    ticks = [times_for(f"owner/project-{number}").tick for number in range(500)]
    minutes = [int(part) for tick in ticks for part in tick.split(" ")[0].split(",")]
    assert len(set(ticks)) >= 8
    assert not {minute for minute in minutes if minute % 5 == 0}
    assert all(3 <= minute % 30 <= 27 for minute in minutes)
    for number in range(500):
        times = times_for(f"owner/project-{number}")
        text = text_of("github", file="cronq.toml", repository=f"owner/project-{number}")
        assert text.count(times.switch) == 3
        assert not re.search(r"@[A-Z_]+@", text)


def test_file_is_written_at_the_top_of_the_repository(repository: World) -> None:
    below = repository.root / "work" / "below"
    below.mkdir()
    (repository.root / "work" / "below" / "jobs.toml").write_text("")
    text = written(repository, "github", "--file", "below/jobs.toml")
    assert "--file below/jobs.toml" in text


def test_link_is_not_followed_without_force(repository: World) -> None:
    path = repository.root / "work" / FILES["gitlab"]
    path.symlink_to(repository.root / "nowhere")
    assert repository.run("ci", "init", "gitlab").code == 4
    assert not (repository.root / "nowhere").exists()
