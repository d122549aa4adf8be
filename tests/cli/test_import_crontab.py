"""`cronq import crontab`: what becomes of it, what is told, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cronq.model import Command, CommandKind, Definition
from tests.cli.test_real_runs import cronq
from tests.cli.world import World

TAB = """\
# m h dom mon dow command
MAILTO=ops@example.com
*/5 * * * * /usr/local/bin/poll.sh
# name: nightly
30 2 * * * cd /tmp && ./backup.sh
SHELL=/bin/bash
CRON_TZ=Asia/Tokyo
PATH=/opt/bin:/bin
0 22 * * 1-5 mail -s "It's 10pm" joe%Joe,%%Where are your kids?%
"""


def write(world: World, text: str, name: str = "tab") -> None:
    (world.root / "work" / name).write_text(text, encoding="utf-8")


def definition_of(world: World, name: str) -> Definition:
    store = world.store()
    try:
        return store.job(name).definition
    finally:
        store.close()


@pytest.fixture
def imported(world: World) -> World:
    world.local_zone = "Europe/Berlin"
    write(world, TAB)
    answer = world.run("import", "crontab", "tab")
    assert answer.code == 0, answer.err
    return world


def test_jobs_see_what_cron_would_show_them(imported: World) -> None:
    home = str(imported.root / "home")
    poll = definition_of(imported, "poll")
    assert poll.command == Command(CommandKind.SHELL, ("/usr/local/bin/poll.sh",))
    assert (poll.schedule, poll.tz, poll.cwd) == ("*/5 * * * *", "Europe/Berlin", home)
    assert poll.path == "/usr/bin:/bin"
    assert poll.env == (("MAILTO", "ops@example.com"), ("SHELL", "/bin/sh"))
    assert (poll.overlap, poll.max_running, poll.catch_up) == ("allow", None, "skip")
    mail = definition_of(imported, "mail")
    assert (mail.tz, mail.path, dict(mail.env)["SHELL"]) == ("Asia/Tokyo", "/opt/bin:/bin", "/bin/bash")
    assert mail.command.kind is CommandKind.SHELL
    assert definition_of(imported, "nightly").command.words == ("cd /tmp && ./backup.sh",)


def test_plan_tells_all_and_does_nothing(world: World) -> None:
    write(world, TAB)
    answer = world.run("import", "crontab", "tab", "--plan")
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0] == "+ poll  */5 * * * *  (UTC)"
    assert "  line 2: MAILTO: cronq mails nobody; it keeps the output of every run" in lines
    assert lines[-1].startswith("plan: 3 to add, 0 to change, 0 to remove, 0 unchanged; ")
    assert world.run("list").err.startswith("No jobs yet")


def test_second_import_changes_nothing(imported: World) -> None:
    store = imported.store()
    before = [store.job(name) for name in ("poll", "nightly", "mail")]
    imported.now += 1
    answer = imported.run("import", "crontab", "tab")
    assert answer.out.splitlines()[-1].startswith("0 added, 0 changed, 0 removed, 3 unchanged; ")
    assert [store.job(name) for name in ("poll", "nightly", "mail")] == before
    store.close()


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_imported(world: World) -> None:
    write(world, "61 * * * * a\n@daily b\nCRON_TZ=Nowhere/Else\n0 0 * * * c\n* * * *\n")
    answer = world.run("import", "crontab", "tab")
    assert answer.code == 2
    assert answer.err.splitlines()[:4] == [
        "error: tab:1:1: minute 61 is out of range 0-59",
        "  61 * * * * a",
        "  ^^",
        "hint: minute is 0 to 59",
    ]
    assert "error: tab:5:8: no day of week" in answer.err
    assert "error: tab:4:1: c: unknown time zone `Nowhere/Else`" in answer.err
    assert world.run("list").err.startswith("No jobs yet")


def test_what_cannot_be_imported_is_left_out_if_asked(world: World) -> None:
    write(world, "61 * * * * a\n@daily b\nHOME=/not/there\n0 0 * * * c\n")
    answer = world.run("import", "crontab", "tab", "--skip-invalid")
    assert answer.code == 0, answer.err
    assert "  line 1: left out: minute 61 is out of range 0-59" in answer.out.splitlines()
    assert "left out: c: cwd: there is no directory /not/there" in answer.out
    assert [job["name"] for job in json.loads(world.run("list", "--json").out)["jobs"]] == ["b"]


def test_other_job_of_the_same_name_is_not_replaced_unasked(world: World) -> None:
    world.run("add", "poll", "@daily", "--", "true")
    before = definition_of(world, "poll")
    write(world, TAB)
    answer = world.run("import", "crontab", "tab")
    assert answer.code == 4
    assert "error: there is another job named `poll` already" in answer.err
    assert definition_of(world, "poll") == before
    assert [job["name"] for job in json.loads(world.run("list", "--json").out)["jobs"]] == ["poll"]
    assert world.run("import", "crontab", "tab", "--replace").code == 0
    assert definition_of(world, "poll").schedule == "*/5 * * * *"


def test_toml_makes_the_same_jobs(imported: World) -> None:
    toml = imported.run("import", "crontab", "tab", "--toml")
    assert toml.code == 0, toml.err
    # The tests' streams show the home as /home; the file needs the real one.
    write(imported, toml.out.replace("/home", str(imported.root / "home")), "cronq.toml")
    answer = imported.run("apply")
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[-1] == "0 added, 3 changed, 0 removed, 0 unchanged"
    assert "takes over" not in answer.out
    assert all(line.endswith("(added by hand until now)") for line in answer.out.splitlines()[:-1])


def test_json_tells_lines_and_differences(world: World) -> None:
    write(world, TAB)
    document = json.loads(world.run("import", "crontab", "tab", "--plan", "--json").out)
    assert [(job["name"], job["line"]) for job in document["jobs"]] == [
        ("poll", 3),
        ("nightly", 5),
        ("mail", 9),
    ]
    mail = [one for one in document["differences"] if one["about"] == "mail"]
    assert mail[0]["line"] == 2
    assert mail[0]["job"] is None
    assert document["applied"] is False
    assert document["source"] == "tab"


def test_policies_of_cronq_can_be_chosen(world: World) -> None:
    write(world, "@daily a\n")
    world.run("import", "crontab", "tab", "--policies", "cronq")
    one = definition_of(world, "a")
    assert (one.overlap, one.catch_up) == ("skip", "latest")


def test_standard_input_is_read(world: World) -> None:
    world.typed = "@daily a\n"
    assert world.run("import", "crontab", "-").code == 0
    assert definition_of(world, "a").schedule == "@daily"


def programs(world: World, script: str) -> None:
    folder = world.root / "bin"
    folder.mkdir()
    (folder / "crontab").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "crontab").chmod(0o755)
    world.variables["PATH"] = f"{folder}:/usr/bin:/bin"


def test_crontab_of_this_user_is_asked_for(world: World) -> None:
    programs(world, 'test "$1" = -l && printf "@daily a\\n"')
    assert world.run("import", "crontab", "--user").code == 0
    assert definition_of(world, "a").schedule == "@daily"


def test_user_without_a_crontab_is_told(world: World) -> None:
    programs(world, "echo 'no crontab for me' >&2; exit 1")
    answer = world.run("import", "crontab", "--user")
    assert (answer.code, answer.err) == (2, "error: `crontab -l` failed: no crontab for me\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "KIND is missing"),
        (("crontab",), "no crontab is named"),
        (("contrab", "x"), "cannot import a `contrab`"),
        (("crontab", "nothing"), "nothing cannot be read: No such file or directory"),
        (("crontab", "."), "/work is a directory"),
        (("crontab", "tab", "--user"), "--user and `tab` contradict each other"),
        (("crontab", "--user", "--system"), "--user and --system contradict each other"),
        (("crontab", "tab", "--plan", "--toml"), "--plan and --toml contradict each other"),
    ],
)
def test_wrong_request_is_refused(world: World, arguments: tuple[str, ...], message: str) -> None:
    answer = world.run("import", *arguments)
    assert answer.code == 2
    assert message in answer.err.splitlines()[0]


def test_commands_run_as_cron_runs_them(world: World) -> None:
    write(
        world,
        'GREETING="hello there"\nHOME=/tmp\n@daily cat%one%two \\% three\nSHELL=/bin/bash\n'
        '@daily echo "$SHELL $PWD $GREETING $PATH $MAILTO" {a,b} \\%\n',
    )
    assert world.run("import", "crontab", "tab").code == 0
    assert cronq(world, "exec", "cat").stdout == "one\ntwo % three\n"
    assert cronq(world, "exec", "echo").stdout == "/bin/bash /tmp hello there /usr/bin:/bin  a b %\n"


def test_empty_crontab_imports_nothing(world: World) -> None:
    write(world, "# nothing\n")
    answer = world.run("import", "crontab", "tab")
    assert (answer.code, answer.out) == (0, "0 added, 0 changed, 0 removed, 0 unchanged; 0 differences\n")


def test_day_that_never_comes_is_left_out_and_told(world: World) -> None:
    write(world, "0 0 30 2 * switched-off\n@daily a\n")
    answer = world.run("import", "crontab", "tab")
    assert answer.code == 0, answer.err
    assert "  line 1: left out: its day never comes, under cron either" in answer.out
    assert [job["name"] for job in json.loads(world.run("list", "--json").out)["jobs"]] == ["a"]


def test_system_crontab_of_this_user_needs_no_other(world: World, tmp_path: Path) -> None:
    import getpass

    write(world, f"@daily {getpass.getuser()} a\n@daily nobody-of-that-name b\n")
    answer = world.run("import", "crontab", "tab", "--system", "--skip-invalid")
    assert answer.code == 0, answer.err
    assert "left out: there is no user `nobody-of-that-name`" in answer.out
    assert definition_of(world, "a").user is None
