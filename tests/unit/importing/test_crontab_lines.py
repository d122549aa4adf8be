"""Lines of a crontab, one oddity a test, as crontab(5) and cron's own readers have them."""

from __future__ import annotations

import pytest

from cronq.importing.crontab import Crontab, read_crontab
from cronq.importing.crontab_env import read_variable
from cronq.importing.crontab_input import split_input


def crontab(text: str | bytes, *, has_users: bool = False) -> Crontab:
    data = text.encode() if isinstance(text, str) else text
    return read_crontab(data, "tab", has_users=has_users)


def one_error(text: str | bytes, *, has_users: bool = False) -> str:
    found = crontab(text, has_users=has_users)
    assert not found.entries
    (problem,) = found.problems
    return str(problem.error)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=b", ("A", "b")),
        ("A = b c  ", ("A", "b c")),
        ('A="  b "  ', ("A", "  b ")),
        ("A='b\"c'", ("A", 'b"c')),
        ('"A"=b', ("A", "b")),
        ("'A B'='c'", ("A B", "c")),
        ("A=", ("A", "")),
        ('MAILTO=""', ("MAILTO", "")),
        ("A=b=c", ("A", "b=c")),
        ("A=b # no comment", ("A", "b # no comment")),
        ("A=$HOME", ("A", "$HOME")),
        ("@daily=1", ("@daily", "1")),
        ("A=b\r", ("A", "b")),
        ('A="b', None),
        ('A="b" c', None),
        ("A b=c", None),
        ("* * * * * X=1 true", None),
        ('"A=b"=c', None),
        ("A", None),
        ("", None),
    ],
)
def test_variable_is_read_as_cron_does(text: str, expected: tuple[str, str] | None) -> None:
    assert read_variable(text) == expected


@pytest.mark.parametrize(
    ("text", "command", "stdin"),
    [
        ("a", "a", None),
        ("a%", "a", None),
        ("a%b", "a", "b\n"),
        ("a%b%", "a", "b\n"),
        ("a%b%c", "a", "b\nc\n"),
        ("a%%", "a", "\n"),
        (r"date +\%F", "date +%F", None),
        (r"a \\ b", "a \\ b", None),
        (r"a \n b", r"a \n b", None),
        (r"a \\% b", "a \\", " b\n"),
        (r"a%b\%c", "a", "b%c\n"),
        (r"a%b\\c", "a", "b\\\\c\n"),
        (r"a%b\nc", "a", "b\\nc\n"),
        ("a%b\\", "a", "b\\\n"),
        ("a%\\", "a", "\\"),
        ("a\\", "a\\", None),
    ],
)
def test_percent_parts_the_command_from_its_input(text: str, command: str, stdin: str | None) -> None:
    assert split_input(text) == (command, stdin)


def test_variables_are_in_force_from_their_line_on() -> None:
    found = crontab("@daily one\nA=1\n@daily two\nA=2\nB=3\n@daily three\n")
    assert [dict(entry.variables) for entry in found.entries] == [{}, {"A": "1"}, {"A": "2", "B": "3"}]
    assert found.problems == []


def test_blanks_and_comments_are_passed_over() -> None:
    found = crontab("\n  \t\n# c\n   # d\n \t */5\t*  * * *\t  a  b \n")
    (entry,) = found.entries
    assert (entry.schedule, entry.command, entry.place.line) == ("*/5 * * * *", "a  b ", 5)


@pytest.mark.parametrize(
    ("line", "schedule"),
    [
        ("@hourly a", "@hourly"),
        ("@every_minute a", "* * * * *"),
        ("0-59/7,3 */6 1,15,31 JAN-mar,12 Mon-Fri,7 a", "0-59/7,3 */6 1,15,31 JAN-mar,12 Mon-Fri,7"),
        ("5,* * * * * a", "5,* * * * *"),
        ("*,5 * * * * a", "*,5 * * * *"),
        ("007 00 01 01 0-7/2 a", "007 00 01 01 0-7/2"),
        ("5~20 ~ ~5 ~ ~ a", "H(5-20) H(0-23) H(1-5) H(1-12) H(0-6)"),
        ("0 0 * jan~mar * a", "0 0 * H(1-3) *"),
        ("0 0 * * fri-sun a", "0 0 * * 5-7"),
        ("0 0 * * 6-0 a", "0 0 * * 6-7"),
        ("-*/15 * * * * a", "*/15 * * * *"),
    ],
)
def test_schedule_is_read(line: str, schedule: str) -> None:
    found = crontab(line + "\n")
    assert [entry.schedule for entry in found.entries] == [schedule]
    assert [entry.command for entry in found.entries] == ["a"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("60 * * * * a", "tab:1:1: minute 60 is out of range 0-59"),
        ("* 24 * * * a", "tab:1:3: hour 24 is out of range 0-23"),
        ("* * 0 * * a", "tab:1:5: day of month 0 is out of range 1-31"),
        ("* * * 13 * a", "tab:1:7: month 13 is out of range 1-12"),
        ("* * * * 8 a", "tab:1:9: day of week 8 is out of range 0-7"),
        ("5-1 * * * * a", "tab:1:1: the range 5-1 goes backwards: cron never matches it"),
        ("* * * * fri-sun/2 a", "tab:1:9: the range fri-sun/2 goes backwards: cron never matches it"),
        ("5/10 * * * * a", "tab:1:1: `5/10` is a step without a range, which cron refuses"),
        ("*/0 * * * * a", "tab:1:2: a step of 0 in the minute"),
        ("*/x * * * * a", "tab:1:1: cron does not read `*/x` as a minute"),
        ("*/ * * * * a", "tab:1:2: the step in the minute is not a number"),
        ("1,,2 * * * * a", "tab:1:2: an empty item in the minute"),
        ("1, * * * * a", "tab:1:2: an empty item in the minute"),
        ("* * L * * a", "tab:1:5: cron does not read `L` as a day of month"),
        ("* * ? * * a", "tab:1:5: cron does not read `?` as a day of month"),
        ("* * * * 5#3 a", "tab:1:9: cron does not read `5#3` as a day of week"),
        ("* * * monday * a", "tab:1:7: cron does not read `monday` as a month"),
        ("H * * * * a", "tab:1:1: cron does not read `H` as a minute"),
        ("99999999999999999999 * * * * a", "tab:1:1: minute 999999999… is out of range 0-59"),
        ("20~5 * * * * a", "tab:1:1: the range 20~5 goes backwards"),
        ("* * * * *", "tab:1:1: no command"),
        ("* * * *", "tab:1:8: no day of week"),
        ("* * * * * * a", "tab:1:11: a sixth `*`"),
        ("@daily", "tab:1:1: no command"),
        ("@Daily a", "tab:1:1: cron reads `@Daily` in lower case only"),
        ("@dayly a", "tab:1:1: cron knows no `@dayly`"),
        ("@300 a", "tab:1:1: `@300` counts from the end of the run before"),
        ("* * * * * %in", "tab:1:11: no command before the `%`"),
        ('A="b', "tab:1:1: a variable whose quotes do not match"),
    ],
)
def test_what_cron_refuses_is_refused_at_its_place(line: str, message: str) -> None:
    assert one_error(line + "\n").splitlines()[0] == message


def test_all_that_is_wrong_is_found() -> None:
    found = crontab("60 * * * * a\n@daily ok\n* 25 * * * b\nwhat is this\n")
    assert [problem.place.line for problem in found.problems] == [1, 3, 4]
    assert [entry.command for entry in found.entries] == ["ok"]


def test_line_with_other_bytes_is_told_without_being_shown() -> None:
    found = crontab(b"# caf\xe9\n@daily caf\xe9\nA=\xff\n@daily \0\n")
    assert [problem.place.line for problem in found.problems] == [2, 3, 4]
    assert all(problem.error.text is None for problem in found.problems)


def test_secret_in_a_line_that_is_no_variable_is_not_shown() -> None:
    (problem,) = crontab('TOKEN="S3CRET\n').problems
    assert problem.error.text is None
    assert "S3CRET" not in str(problem.error)


def test_system_crontab_has_users() -> None:
    found = crontab("17 *\t* * *\troot    cd / && run-parts /etc/cron.hourly\n", has_users=True)
    (entry,) = found.entries
    assert (entry.user, entry.command) == ("root", "cd / && run-parts /etc/cron.hourly")
    assert "no command" in one_error("17 * * * * root\n", has_users=True)


def test_line_ends_are_told() -> None:
    found = crontab("@daily a\r\n@daily b")
    assert [entry.command for entry in found.entries] == ["a", "b"]
    assert [(one.about, one.place.line) for one in found.remarks] == [("line-end", 1), ("line-end", 2)]


@pytest.mark.parametrize(
    ("line", "about"),
    [
        ("MAILTO=a@b", "mail"),
        ('MAILTO=""', "mail"),
        ("TZ=Asia/Tokyo", "zone"),
        ("CRON_TZ=Asia/Tokyo", "zone"),
        ("LOGNAME=x", "variable"),
        ("PATH=$HOME/bin", "variable"),
        ("RANDOM_DELAY=5", "jitter"),
        ("-@daily a", "log"),
        ("@daily -n a", "flag"),
        ("@daily -q -s a", "flag"),
        ("@daily a%b", "stdin"),
        (r"@daily a \\ b", "backslash"),
        (f"@daily {'x' * 1000}", "length"),
        ("~ * * * * a", "random"),
        ("0 0 * * sat-sun a", "range"),
    ],
)
def test_difference_is_told(line: str, about: str) -> None:
    found = crontab(line + "\n")
    assert found.problems == []
    assert {one.about for one in found.remarks} == {about}
    assert all(one.place.line == 1 for one in found.remarks)


def test_name_comes_from_a_comment_above() -> None:
    found = crontab("# name: one\n# m h dom mon dow\n@daily a\n@daily b\n")
    assert [entry.name for entry in found.entries] == ["one", None]
