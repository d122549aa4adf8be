"""What `cronq check` finds in jobs that nothing but a database could hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from cronq.cli._checks import ERROR, WARNING, Finding, findings
from cronq.model import SECOND, Command, CommandKind, Definition, Job, Micros

NOW: Micros = 1_767_340_800 * SECOND  # 2026-01-02T08:00:00Z


def found(schedule: str = "0 9 * * *", **fields: object) -> list[Finding]:
    definition = Definition(Command(CommandKind.ARGV, ("true",)), schedule)._replace(**fields)  # type: ignore[arg-type]
    return list(findings(Job(1, "a", 1, definition, 0, 0, NOW), {}, NOW))


def test_a_sound_job_has_no_findings() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schedule": "nonsense"}, "nonsense"),
        ({"tz": "Mars/Base"}, "unknown time zone `Mars/Base`"),
        ({"calendars": ("gone:skip",)}, "no calendar named `gone`"),
        ({"blackouts": ("nonsense",)}, "the window `nonsense` has no policy"),
        ({"jitter": "soon"}, "`soon` is not a duration"),
        ({"assertions": ("always",)}, "assertion `always`: unknown assertion `always`"),
        ({"env_file": "/nowhere/at/all"}, "its env file /nowhere/at/all cannot be read"),
        ({"user": "no-such-user"}, "there is no user `no-such-user`"),
    ],
)
def test_what_cannot_be_read_is_an_error(fields: dict[str, object], message: str) -> None:
    (finding,) = found(**fields)  # type: ignore[arg-type]
    assert finding.level == ERROR
    assert message in finding.message


def test_an_assertion_that_holds_is_not_mentioned() -> None:
    assert found(assertions=("at least every 26h", "runs 365 times in 2027")) == []


def test_a_blackout_that_skips_some_is_fine() -> None:
    assert found(blackouts=("sat,sun:drop",)) == []
    (finding,) = found("0 9 * * sat", blackouts=("sat,sun:drop",), valid_until="2026-01-03")
    assert finding.level == WARNING
    assert finding.message == "its blackouts skip its next fire time"


def test_a_job_of_the_start_up_is_never_over() -> None:
    assert found("@reboot") == []


def test_an_env_file_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "x.env"
    path.touch(0o600)
    path.chmod(0o600)
    assert found(env_file=str(path)) == []
    path.chmod(0o640)
    (finding,) = found(env_file=str(path))
    assert (finding.level, finding.hint) == (WARNING, f"chmod 600 {path}")
