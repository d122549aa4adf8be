"""`cronq import systemd`: timers and their services become jobs, and what differs is told."""

from __future__ import annotations

import json

import pytest

from cronq.model import Command, CommandKind, Definition
from tests.cli.world import World

BACKUP = {
    "backup.timer": "[Unit]\nDescription=x\n[Timer]\nOnCalendar=daily\nOnCalendar=Mon..Fri 12:30\n"
    "RandomizedDelaySec=10min\nPersistent=true\n[Install]\nWantedBy=timers.target\n",
    "backup.service": "[Service]\nType=oneshot\nExecStart=/bin/echo 'a b'\nTimeoutStartSec=2h\n"
    'Environment="A=b c" D=e\nEnvironment=PATH=/opt/bin:/bin\nWorkingDirectory=/tmp\nNice=5\nUMask=0027\n'
    "LimitNOFILE=1024:4096\nSuccessExitStatus=3 SIGTERM\nProtectSystem=strict\n",
}


def write(world: World, files: dict[str, str], folder: str = "units") -> None:
    for name, text in files.items():
        path = world.root / "work" / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def definition_of(world: World, name: str) -> Definition:
    store = world.store()
    try:
        return store.job(name).definition
    finally:
        store.close()


@pytest.fixture(autouse=True)
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units of the system run as root: so that they need no other user, this one is root, too."""
    monkeypatch.setattr("os.getuid", lambda: 0)


def test_timer_and_service_become_a_job(world: World) -> None:
    write(world, BACKUP)
    answer = world.run("import", "systemd", "units")
    assert answer.code == 0, answer.err
    one = definition_of(world, "backup")
    assert one.schedule == "oncalendar: daily ; oncalendar: Mon..Fri 12:30"
    assert one.command == Command(CommandKind.ARGV, ("/bin/echo", "a b"))
    assert (one.timeout_s, one.catch_up, one.overlap, one.jitter) == (7200, "latest", "skip", "random:10m")
    assert (one.cwd, one.path, one.env) == ("/tmp", "/opt/bin:/bin", (("A", "b c"), ("D", "e")))
    assert (one.nice, one.umask, one.open_files, one.success_codes) == (5, "027", 1024, (0, 3))
    assert one.user is None
    assert "  backup.service line 12: ProtectSystem= has no counterpart; it is left out" in answer.out
    assert "hint: systemd still runs them, too" in answer.err
    again = world.run("import", "systemd", "units")
    assert again.out.splitlines()[-1].startswith("0 added, 0 changed, 0 removed, 1 unchanged; ")


def test_fire_times_are_those_of_the_calendar(world: World) -> None:
    write(world, BACKUP)
    document = json.loads(world.run("import", "systemd", "units", "--plan", "--json", "--days", "3").out)
    (job,) = document["jobs"]
    assert job["appear"] == ["2026-01-02T12:30:00Z"] + [f"2026-01-0{day}T00:00:00Z" for day in (3, 4, 5)]
    assert job["file"] == "backup.timer"
    assert world.run("list").err.startswith("No jobs yet")


def test_drop_ins_and_units_of_other_names_are_read(world: World) -> None:
    write(
        world,
        {
            "a.timer": "[Timer]\nOnCalendar=daily\nUnit=other.service\n",
            "a.timer.d/time.conf": "[Timer]\nOnCalendar=\nOnCalendar=hourly\n",
            "other.service": "[Service]\nExecStart=/bin/true\n",
            "b@.timer": "[Timer]\nOnCalendar=daily\n",
            "b@x.timer": "[Timer]\nOnCalendar=daily\n",
            "b@.service": "[Service]\nExecStart=/bin/echo %i %p %%\n",
        },
    )
    answer = world.run("import", "systemd", "units")
    assert answer.code == 0, answer.err
    assert definition_of(world, "a").schedule == "oncalendar: hourly"
    assert definition_of(world, "b-x").command.words == ("/bin/echo", "x", "b", "%")
    assert "b@.timer: left out: it is a template without instances" in answer.out


def test_timers_that_count_from_something_are_told(world: World) -> None:
    write(
        world,
        {
            "tick.timer": "[Timer]\nOnBootSec=5min\nOnUnitActiveSec=15min\n",
            "tick.service": "[Service]\nExecStart=/bin/true\n",
            "boot.timer": "[Timer]\nOnBootSec=5min\n",
            "boot.service": "[Service]\nExecStart=/bin/true\n",
        },
    )
    answer = world.run("import", "systemd", "units")
    assert answer.code == 0, answer.err
    assert definition_of(world, "tick").schedule == "every 15m"
    assert definition_of(world, "boot").schedule == "@reboot"
    assert definition_of(world, "tick").catch_up == "skip"
    assert "tick.timer line 3: OnUnitActiveSec=15min counts from the start of the run before" in answer.out
    assert "boot.timer line 2: OnBootSec=5min: runs once per boot" in answer.out


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_imported(world: World) -> None:
    write(
        world,
        {
            **BACKUP,
            "a.timer": "[Timer]\nOnCalendar=fridays\n",
            "a.service": "[Service]\nExecStart=/bin/true\n",
            "b.timer": "[Timer]\nOnCalendar=daily\n",
            "c.timer": "[Timer]\nDescription=x\n",
            "c.service": "[Service]\nType=oneshot\n",
            "d.timer": "[Timer]\nOnUnitActiveSec=soon\n",
            "d.service": "[Service]\nExecStart=/bin/true %t\nUser=nobody-of-that-name\n",
        },
    )
    answer = world.run("import", "systemd", "units")
    assert answer.code == 2
    for text in (
        "a.timer:2:12: a: `fridays` is not read in a calendar event",
        "b.timer: its service b.service is not in the folder",
        "c.timer: it says no time",
        "c.service: it starts nothing",
        "d.timer:2:17: OnUnitActiveSec=soon is not a time span",
        "d.service:2:11: what `%t` stands for is known to systemd alone",
        "d.service:3:6: there is no user `nobody-of-that-name`",
    ):
        assert f"error: {text}" in answer.err
    assert world.run("list").err.startswith("No jobs yet")
    assert world.run("import", "systemd", "units", "--skip-invalid").code == 0
    assert [job["name"] for job in json.loads(world.run("list", "--json").out)["jobs"]] == ["backup"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("systemd",), "no folder is named"),
        (("systemd", "nowhere"), "there is no directory /work/nowhere"),
        (("systemd", "."), "/work holds no timers"),
        (("systemd", ".", "--user"), "--user and --system are for crontabs"),
    ],
)
def test_wrong_request_is_refused(world: World, arguments: tuple[str, ...], message: str) -> None:
    answer = world.run("import", *arguments)
    assert (answer.code, answer.err.splitlines()[0]) == (2, f"error: {message}")
