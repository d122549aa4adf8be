"""Names of jobs that had none."""

from __future__ import annotations

import pytest

from cronq.importing.naming import name_of_command, slug_of, unique
from cronq.names import is_name


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/local/bin/backup.sh --all", "backup"),
        ("cd /srv && ./Report.PY > out", "report"),
        ("A=1 B=2 poll", "poll"),
        ("nice -n 10 ionice -c3 rsync -a x y", "rsync"),
        ("flock -n /tmp/lock /opt/sync.sh", "sync"),
        ("timeout -k 5 30m fetch", "fetch"),
        ("sudo -u www php /srv/app/cron.php", "cron"),
        ("python3 -m app.tasks daily", "app.tasks"),
        ("/usr/bin/python3 -u /srv/job.py", "job"),
        ("bash -c 'cleanup --now'", "cleanup"),
        ("[ -x /usr/bin/x ] && /usr/bin/x", "x"),
        ("test -x /usr/sbin/anacron || ( cd / && run-parts /etc/cron.daily )", "run-parts"),
        ("python3", "python3"),
        ("(cd / ; true)", "job"),
        ("…", "job"),
        ("/opt/" + "x" * 200, "x" * 48),
    ],
)
def test_name_is_what_the_command_runs(command: str, name: str) -> None:
    assert name_of_command(command) == name
    assert is_name(name)


def test_names_are_told_apart_by_number() -> None:
    assert unique("a", set()) == "a"
    assert unique("a", {"a", "a-2"}) == "a-3"


@pytest.mark.parametrize(
    ("text", "name"), [("b@x", "b-x"), ("-.mount", "mount"), ("Ä", "job"), ("a/b", "a-b")]
)
def test_slug_is_the_nearest_name(text: str, name: str) -> None:
    assert slug_of(text) == name
