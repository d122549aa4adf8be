"""Jobs as code: what a file makes of the store, what it refuses, and that it comes back as it was."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from cronq.cli._exporting import document_of, toml_of
from cronq.cli._fields import definition_options
from cronq.cli._job_file import KEYS
from cronq.cli._options import borrowed
from cronq.model import Command, CommandKind, Definition, Job, Outcome, State
from cronq.store import RunQuery
from tests.cli.world import World, at

FILE = """\
[defaults]
tz = "Europe/Berlin"
retries = 2
env = { A = "1" }

[locks]
db = 1

[calendars]
closed = ["2026-12-24", 2026-12-31]

[jobs.backup]
schedule = "0 2 * * *"
command = ["true", "-a"]
timeout = "1h"
lock = "db"
success-codes = [0, 24]
calendar = "closed:skip"

[jobs.report]
schedule = "0 9 * * 1-5"
shell = "echo \\"hi\\" > out"
env = { B = "zwei" }
keep = "30d,100"
queue = "reports"
"""


def write(world: World, text: str, name: str = "cronq.toml") -> None:
    (world.root / "work" / name).write_text(text, encoding="utf-8")


@pytest.fixture
def applied(world: World) -> World:
    write(world, FILE)
    answer = world.run("apply")
    assert answer.code == 0, answer.err
    return world


def definition_of(world: World, name: str) -> Definition:
    store = world.store()
    try:
        return store.job(name).definition
    finally:
        store.close()


def test_file_becomes_jobs_with_its_defaults(applied: World) -> None:
    backup, report = definition_of(applied, "backup"), definition_of(applied, "report")
    assert (backup.tz, backup.retries, backup.timeout_s, backup.locks) == (
        "Europe/Berlin",
        2,
        3600.0,
        ("db",),
    )
    assert (backup.success_codes, backup.calendars) == ((0, 24), ("closed:skip",))
    assert (backup.env, report.env) == ((("A", "1"),), (("A", "1"), ("B", "zwei")))
    assert (backup.queue, report.queue) == (None, "reports")
    assert report.command == Command(CommandKind.SHELL, ('echo "hi" > out',))
    assert report.cwd == str(applied.root / "work")
    assert json.loads(applied.run("list", "--json").out)["jobs"][0]["origin"] == "file"


def test_plan_shows_what_would_be_done_and_does_nothing(world: World) -> None:
    write(world, FILE)
    answer = world.run("apply", "cronq.toml", "--plan")
    assert answer.code == 0
    assert answer.out.splitlines()[:4] == [
        "+ lock db  1",
        "~ calendar closed",
        "+ backup  0 2 * * *  (Europe/Berlin)",
        "    7 fire times appear in the next 7 days: Sat 02:00, Sun 02:00, Mon 02:00, …",
    ]
    assert answer.out.splitlines()[-1] == "plan: 2 to add, 0 to change, 0 to remove, 0 unchanged"
    assert world.run("list").err.startswith("No jobs yet")


def test_same_file_again_changes_nothing(applied: World) -> None:
    store = applied.store()
    before = [store.job(name) for name in ("backup", "report")]
    applied.now += 1
    assert applied.run("apply").out == "0 added, 0 changed, 0 removed, 2 unchanged\n"
    assert [store.job(name) for name in ("backup", "report")] == before
    store.close()


@pytest.mark.parametrize(
    "text",
    [
        '[jobs.a]\nenv = {TOK = "S3CRET}\n',
        '[jobs.a]\nenv.TOK = "S3CRET\n',
        '[jobs.a]\nenv = "TOK=S3CRET"\n',
        '[jobs.a]\nenv = {TOK = "S3CRET", N = 1}\n',
        '[jobs.a]\nenv = {TOK = "S3CRET", "N=" = "1"}\n',
        "[jobs.a.env]\nTOK = S3CRET\n",
        '[jobs."a]b".env]\nTOK = S3CRET\n',
        '[jobs.a.env]\nTOK = """\nmany\nS3CRET""" oops\n',
        '[defaults]\nenv = {TOK = "S3CRET}\n',
        '[jobs]\na = {schedule = "nonsense", env = {TOK = "S3CRET"}}\n',
        '[jobs.a]\nping = "https://S3CRET\n',
        '[jobs.a]\nping = """https://x/\nS3CRET" oops\n',
        '[jobs.a]\nping = "ftp://x/S3CRET"\n',
        '[defaults]\nping = "https://x/S3 CRET#S3CRET"\n[jobs.a]\n',
        '[jobs]\na = {schedule = "nonsense", ping = "https://x/S3CRET"}\n',
    ],
)
def test_no_line_of_variables_is_shown_when_something_is_wrong(world: World, text: str) -> None:
    write(world, text)
    answer = world.run("apply")
    assert answer.code in {2, 3}, answer
    assert "cronq.toml:" in answer.err
    assert "S3CRET" not in answer.out + answer.err


def test_no_line_of_variables_is_shown_when_json_is_wrong(world: World) -> None:
    write(world, '{"jobs": {"a": {"env": {\n"TOK": "S3CRET" "N": "1"}}}}', "jobs.json")
    answer = world.run("apply", "jobs.json")
    assert (answer.code, "jobs.json:2:" in answer.err, "S3CRET" in answer.err) == (2, True, False)


def test_moved_fire_times_are_shown_as_moved(applied: World) -> None:
    write(applied, FILE.replace("0 2 * * *", "30 2 * * *"))
    lines = applied.run("apply").out.splitlines()
    assert lines == [
        "~ backup",
        "    schedule  0 2 * * * → 30 2 * * *",
        "    7 fire times move in the next 7 days: Sat 02:00 → 02:30, Sun 02:00 → 02:30,"
        " Mon 02:00 → 02:30, …",
        "0 added, 1 changed, 0 removed, 1 unchanged",
    ]
    assert definition_of(applied, "backup").schedule == "30 2 * * *"


def test_prune_removes_jobs_of_a_file_and_never_those_added_by_hand(applied: World) -> None:
    applied.run("add", "mine", "@daily", "--", "true")
    write(applied, FILE.split("[jobs.report]")[0])
    assert applied.run("apply").out.splitlines()[-1] == "0 added, 0 changed, 0 removed, 1 unchanged"
    lines = applied.run("apply", "--prune").out.splitlines()
    assert lines[0] == "- report"
    assert lines[1].startswith("    4 fire times vanish in the next 7 days: ")
    assert applied.run("list", "-q").out.split() == ["backup", "mine"]
    listed = applied.run("list")
    assert "mine*" in listed.out
    assert "added by hand" in listed.err


def test_job_added_by_hand_is_taken_over_and_keeps_its_path(world: World) -> None:
    world.variables["PATH"] = "/opt/bin"
    world.run("add", "backup", "0 3 * * *", "--no-check", "--", "true")
    world.variables["PATH"] = "/usr/bin"
    write(world, FILE)
    assert "~ backup  (added by hand until now)" in world.run("apply").out
    assert definition_of(world, "backup").path == "/opt/bin"
    assert definition_of(world, "report").path == "/usr/bin"


def test_due_fire_times_are_settled_under_the_old_definition(applied: World) -> None:
    applied.now = at("2026-01-05T01:00:30Z")
    write(applied, FILE.replace("0 2 * * *", "0 4 * * *"))
    applied.run("apply")
    store = applied.store()
    (run,) = [run for run, _ in store.runs(RunQuery(("backup",), state=State.QUEUED))]
    assert run.fire_at == at("2026-01-05T01:00:00Z")
    assert store.job("backup").next_fire_at == at("2026-01-05T03:00:00Z")
    store.close()


def test_unchanged_jobs_and_running_ones_are_left_alone(applied: World) -> None:
    store = applied.store()
    report = store.job("report")
    store.trigger(["backup"], now=applied.now)
    store.claim(["w"], "boot", now=applied.now)
    write(applied, FILE.replace("0 2 * * *", "0 4 * * *"))
    applied.run("apply")
    assert store.job("report") == report
    (run,) = [run for run, _ in store.runs(RunQuery(("backup",), state=State.RUNNING))]
    assert run.stop_reason is None
    store.close()


def test_paused_is_as_the_file_says_and_else_as_it_was(applied: World) -> None:
    write(applied, FILE + "paused = true\n")
    assert "~ report  paused" in applied.run("apply").out
    applied.now += 3 * 86_400 * 1_000_000
    write(applied, FILE)
    assert applied.run("apply").out.startswith("0 added, 0 changed")
    write(applied, FILE + "paused = false\n")
    assert "~ report  resumed" in applied.run("apply").out
    store = applied.store()
    (passed,) = [run for run, _ in store.runs(RunQuery(("report",)))]
    assert (passed.outcome, passed.reason) == (Outcome.SKIPPED, "paused")
    assert store.job("report").paused_at is None
    store.close()


def test_changed_calendar_moves_also_jobs_that_the_file_does_not_name(applied: World) -> None:
    applied.run("add", "mine", "@daily", "--calendar", "closed:skip", "--", "true")
    write(applied, FILE.replace('"2026-12-24"', '"2026-01-03"'))
    applied.run("apply")
    store = applied.store()
    assert store.job("mine").next_fire_at == at("2026-01-04T00:00:00Z")
    assert store.job("backup").next_fire_at == at("2026-01-04T01:00:00Z")
    assert (store.job("mine").origin, store.job("mine").revision) == (None, 2)
    store.close()


def test_past_one_off_stays_what_it_is(world: World) -> None:
    text = '[jobs.once]\nschedule = "at 2026-01-02T09:00"\ntz = "UTC"\ncommand = ["true"]\n'
    write(world, text)
    assert world.run("apply").code == 0
    world.now = at("2026-01-02T10:00:00Z")
    world.tick()
    assert world.run("apply").out == "0 added, 0 changed, 0 removed, 1 unchanged\n"
    write(world, text.replace("2026-01-02", "2026-01-01"), "other.toml")
    assert world.run("apply", "other.toml").code == 2


WRONG = {
    "unknown table": ("[job.a]\n", "cronq.toml:1:2: unknown table `job`", "did you mean `jobs`?"),
    "unknown key": ("[jobs.a]\ntimeot = '1h'\n", "cronq.toml:2:1: unknown key `timeot`", "`timeout`"),
    "unknown default": (
        "[defaults]\nretires = 2\n",
        "cronq.toml:2:1: unknown default `retires`",
        "`retries`",
    ),
    "default that is none": ("[defaults]\nschedule = 'x'\n", "unknown default `schedule`", ""),
    "bad name": ("[jobs.B]\n", "cronq.toml:1:2: `B` cannot be the name of a job", "a-z"),
    "no schedule": ("[jobs.a]\ncommand = ['true']\n", "cronq.toml:1:2: a: there is no schedule", "write"),
    "bad schedule": (
        "[jobs.a]\nschedule = '61 * * * *'\n",
        "cronq.toml:2:13: a: minute 61 is out of",
        "0 to 59",
    ),
    "relative": ("[jobs.a]\nschedule = 'in 10m'\n", "counts from now", "at 2026-12-24T18:00"),
    "no command": ("[jobs.a]\nschedule = '@daily'\n", "a: there is no command", "command = ["),
    "text for a command": (
        "[jobs.a]\ncommand = 'x y'\n",
        "cronq.toml:2:1: a: command: not a list",
        "shell =",
    ),
    "two commands": (
        "[jobs.a]\nschedule = '@daily'\nshell = 'a'\npython = 'a:b'\n",
        "contradict each other",
        "",
    ),
    "bare number": ("[jobs.a]\ntimeout = 60\n", "cronq.toml:2:11: a: timeout: the duration `60`", "60s"),
    "bool": ("[jobs.a]\nretries = true\n", "a: retries: neither a text nor a number", ""),
    "contradiction": ("[jobs.a]\nmax-queued = 3\n", "cronq.toml:2:1: a: max-queued needs overlap queue", ""),
    "zone": (
        "[jobs.a]\nschedule = '@daily'\ntz = 'Europe/Berln'\n",
        "cronq.toml:3:1: a: unknown time zone",
        "Berlin",
    ),
    "zone in defaults": (
        "[defaults]\ntz = 'Europe/Berln'\n[jobs.a]\nschedule = '@daily'\n",
        "cronq.toml:2:1: a: unknown time zone",
        "Berlin",
    ),
    "env": ("[jobs.a]\nenv = { A = 1 }\n", "a: env: the value of A is not a text", ""),
    "own variable": ("[jobs.a]\nenv = { CRONQ_JOB = 'x' }\n", "a: env: CRONQ_JOB is set by cronq", ""),
    "cwd": ("[jobs.a]\ncwd = 'nowhere'\n", "cronq.toml:2:1: a: cwd: there is no directory /work/nowhere", ""),
    "lock": ("[jobs.a]\nlock = 'A'\n", "a: lock: `A` cannot be the name of a lock", ""),
    "queue": (
        "[jobs.a]\nqueue = 'GPU 1'\n",
        "cronq.toml:2:1: a: queue: `GPU 1` cannot be the name of a queue",
        "a-z, 0-9",
    ),
    "queue that is no text": ("[jobs.a]\nqueue = ['a', 'b']\n", "a: queue: neither a text nor a number", ""),
    "locks": ("[locks]\ndb = 'x'\n", "cronq.toml:2:1: db: not a number of holders", "db = 1"),
    "lock against [locks]": (
        "[locks]\ndb = 1\n[jobs.a]\nschedule = '@daily'\ncommand = ['true']\nlock = 'db:2'\n",
        "cronq.toml:6:1: lock: db has 1 holders in [locks], not 2",
        "",
    ),
    "calendar": (
        "[calendars]\nx = 'nowhere.txt'\n",
        "cronq.toml:2:1: there is no file /work/nowhere.txt",
        "",
    ),
    "unknown calendar": ("[jobs.a]\nschedule = '@daily'\ncalendar = 'x:skip'\n", "cronq.toml:3:", ""),
    "paused": ("[jobs.a]\npaused = 'yes'\n", "a: paused: not true or false", ""),
    "not a table": ("jobs = 3\n", "cronq.toml:1:1: `jobs` is not a table", "[jobs]"),
    "syntax": ("[jobs.a]\nschedule = \n", "cronq.toml:2:12: invalid value", ""),
    "open end": ("[jobs.a", "cronq.toml:1:8: ", ""),
    "never": ("[jobs.a]\nschedule = '0 0 31 2 *'\ncommand = ['true']\n", "cronq.toml:2:", ""),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_with_its_place_and_changes_nothing(applied: World, case: str) -> None:
    text, message, hint = WRONG[case]
    before = applied.run("export").out
    good = "\n[jobs.good]\nschedule = '@daily'\ncommand = ['true']\n"
    write(applied, text + ("" if case in {"syntax", "open end", "not a table"} else good))
    for arguments in (["apply"], ["apply", "--plan"]):
        answer = applied.run(*arguments)
        assert answer.code == 2, answer
        assert message in answer.err
        assert hint in answer.err
        assert "--" not in answer.err.replace("`--`", "")
    assert applied.run("export").out == before


def test_all_that_is_wrong_is_told_at_once(world: World) -> None:
    write(world, "[jobs.a]\nschedule = '61 * * * *'\ntimeout = 60\noverlp = 'x'\n[jobs.b]\ncommand = 3\n")
    errors = [line for line in world.run("apply").err.splitlines() if line.startswith("error:")]
    assert [error.split()[1] for error in errors] == [
        *("cronq.toml:4:1:", "cronq.toml:2:13:", "cronq.toml:3:11:", "cronq.toml:1:2:"),
        *("cronq.toml:6:1:", "cronq.toml:5:2:"),
    ]


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_no_file_is_refused(world: World, name: str) -> None:
    answer = world.run("apply", name)
    assert (answer.code, "there is no file" in answer.err) == (2, True)


def test_bytes_that_are_no_text_are_refused(world: World) -> None:
    (world.root / "work" / "cronq.toml").write_bytes(b"[jobs.a]\n\xff\n")
    assert "not UTF-8" in world.run("apply").err


def test_every_option_of_a_job_is_a_key() -> None:
    options = {
        option.removeprefix("--") for parameter in borrowed(definition_options) for option in parameter.opts
    }
    assert options - {"inherit-env", "no-check", "dry-run"} <= KEYS


def test_export_comes_back_as_the_same_jobs(applied: World) -> None:
    applied.run(
        "add", "odd", "every 90m", "--env", "Q=a'b\"c\\\n\u00e9\t", "--shell", "a 'b' \"c\" \\d\n\u2028"
    )
    applied.run("add", "py", "@hourly", "--python", "os:getcwd", "--args", '[null, {"a": [1.5, true]}]')
    applied.run("pause", "odd")
    for options, name in (([], "again.toml"), (["--json"], "again.json")):
        write(applied, applied.run("export", *options).out, name)
        answer = applied.run("apply", name)
        assert answer.code == 0, answer.err
        other = World(applied.root)
        other.variables["CRONQ_DB"] = str(applied.root / f"{name}.db")
        assert other.run("apply", name).code == 0
        assert other.run("export", *options).out == applied.run("export", *options).out
        assert other.run("list", "-q").out.split() == ["backup", "odd", "py", "report"]


def test_any_definition_comes_back_from_toml(world: World) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    jobs = []
    for number in range(40):
        text = (
            "".join(dice.choice("ab 'ö\"\\\n\t{}[]#=\x7f$") for _ in range(dice.randint(1, 12))).strip()
            or "x"
        )
        definition = Definition(
            Command(CommandKind.ARGV, ("prog", text)),
            dice.choice(["0 2 * * *", "every 10m", "@daily"]),
            tz=dice.choice(["UTC", "Europe/Berlin"]),
            cwd=str(world.root / "work"),
            env=(("A", text),) if dice.random() < 0.5 else (),
            timeout_s=dice.choice([None, 0.5, 90.0, 86_400.0]),
            retries=dice.choice([0, 3]),
            ping=dice.choice([None, "$URL", "https://hc-ping.com/5f1?create=1", "http://[::1]:8000/a'b%20c"]),
            priority=dice.choice([-5, 0, 5]),
            queue=dice.choice([None, "gpu", "7.a-b_c"]),
            memory=dice.choice([None, 64 * 1024**2, 10_000_001]),
            success_codes=dice.choice([(0,), (0, 3)]),
        )
        jobs.append(Job(number, f"job-{number}", 1, definition, 0, 0))
    write(world, "\n".join(toml_of(document_of(jobs, [], {}))))
    answer = world.run("apply", "--no-check")
    assert answer.code == 0, answer.err
    store = world.store()
    for job in jobs:
        stored = store.job(job.name).definition
        assert stored._replace(schedule="") == job.definition._replace(schedule="")
    store.close()


def test_real_files_can_be_named_from_anywhere(world: World) -> None:
    folder = Path(world.root / "work" / "conf")
    folder.mkdir()
    (folder / "vars").write_text("A=1\n")
    (folder / "vars").chmod(0o600)
    text = "[jobs.a]\nschedule = '@daily'\ncommand = ['true']\nenv-file = 'vars'\n"
    (folder / "jobs.toml").write_text(text)
    assert world.run("apply", "conf/jobs.toml").code == 0
    definition = definition_of(world, "a")
    assert (definition.cwd, definition.env_file) == (str(folder), str(folder / "vars"))


@pytest.mark.parametrize("none", ["none", "default"])
def test_job_can_leave_the_queue_of_the_defaults(world: World, none: str) -> None:
    text = "[defaults]\nqueue = 'gpu'\n[jobs.a]\nschedule = '@daily'\ncommand = ['true']\n"
    write(world, text)
    assert world.run("apply").code == 0
    assert definition_of(world, "a").queue == "gpu"
    write(world, f"{text}queue = '{none}'\n")
    assert "queue  gpu → default" in world.run("apply").out
    assert definition_of(world, "a").queue is None
    assert "queue" not in world.run("export").out


def test_locks_and_calendars_that_change_are_shown(applied: World) -> None:
    write(applied, FILE.replace("db = 1", "db = 7").replace('"2026-12-24"', '"2026-12-25"'))
    for arguments in (["apply", "--plan"], ["apply"]):
        lines = applied.run(*arguments).out.splitlines()
        assert lines[:2] == ["~ lock db  1 → 7", "~ calendar closed"]
    assert json.loads(applied.run("lock", "db", "--json").out)["locks"][0]["holders"] == 7
    answer = applied.run("set", "backup", "--lock", "db:3")
    assert "  lock db  7 → 3 at a time, for all that use it" in answer.out
    assert "undo: cronq lock db --holders 7" in answer.err
