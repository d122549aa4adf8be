"""The five jobs everybody has, over a fortnight with a clock change and an outage, line by line."""

from __future__ import annotations

import io
import os
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cronq.cli._terminal import Environment
from cronq.cli.app import main
from cronq.clock import datetime_from_us
from cronq.model import Claim, Outcome, Run, Trigger
from tests.docs.readme import commands, marked
from tests.simulation.world import Played, World, utc

BERLIN = ZoneInfo("Europe/Berlin")
DOWN_FROM, DOWN_TO = "2026-03-30T23:00:00", "2026-03-31T08:10:00"
"""In UTC; in Berlin the night from 01:00 to 10:10 on 31 March 2026, two days after the clock change."""


def took(claim: Claim) -> Played:
    if claim.run.job == "sync" and claim.run.attempt == 1 and claim.run.id % 3 == 0:
        return Played(30, Outcome.FAILURE)
    return Played({"cache-warm": 400.0, "clean-up": 1800.0}.get(claim.run.job, 20.0))


def add_as_in_the_readme(w: World) -> None:
    """Type the README's five lines, on a machine in Berlin."""
    for line in commands(marked("classic")):
        program, *arguments = shlex.split(line)
        assert program == "cronq"
        out, err = io.StringIO(), io.StringIO()
        environ = {"CRONQ_DB": str(w.place.database), "HOME": str(w.folder), "PATH": os.environ["PATH"]}
        berlin = Environment(
            None, out, err, environ, now=w.clock.now, local_zone=lambda: "Europe/Berlin", cwd=lambda: w.folder
        )
        assert main(arguments, berlin) == 0, err.getvalue()


@pytest.fixture(scope="module")
def fortnight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place: Path = tmp_path_factory.mktemp("fortnight")
    # The last second before Monday, 23 March, in Berlin.
    w = World(place, utc("2026-03-22T22:59:59"), play=took)
    add_as_in_the_readme(w)
    w.run_until(utc(DOWN_FROM))
    w.be_down_until(utc(DOWN_TO))
    w.run_until(utc("2026-04-05T21:59:30"))
    w.check(["daily-report", "sync", "clean-up", "newsletter", "cache-warm"])
    yield w
    w.store.close()


def local(run: Run) -> str:
    assert run.fire_at is not None
    return datetime_from_us(run.fire_at).astimezone(BERLIN).strftime("%m-%d %H:%M")


def test_daily_report_is_about_yesterday_once_a_day(fortnight: World) -> None:
    rows = fortnight.rows("daily-report")
    assert [local(run) for run in rows] == [
        f"{day:%m-%d} 01:00" for day in (datetime(2026, 3, 23, tzinfo=UTC) + timedelta(n) for n in range(14))
    ]
    assert {run.outcome for run in rows} == {Outcome.SUCCESS}
    # 31 March, 01:00 fell into the outage: it was caught up later, and is still about 30 March.
    (late,) = [run for run in rows if run.trigger is Trigger.CATCH_UP]
    assert local(late) == "03-31 01:00"
    assert late.started_at == utc(DOWN_TO)
    about = [(datetime_from_us(run.logical_at).astimezone(BERLIN) - timedelta(days=1)).date() for run in rows]
    assert about == [datetime(2026, 3, 22, tzinfo=UTC).date() + timedelta(n) for n in range(14)]


def test_sync_runs_every_half_hour_through_the_clock_change(fortnight: World) -> None:
    rows = fortnight.rows("sync")
    done = [run for run in rows if run.outcome is Outcome.SUCCESS]
    missed = [run for run in rows if run.outcome is Outcome.MISSED]
    # 14 days, less the hour that 29 March has not. Down are 19 half hours, of which the newest is caught up.
    assert len(done) + sum(run.fire_count for run in missed) == 14 * 48 - 2
    (gap,) = missed
    assert gap.fire_count == 18
    assert (local(gap), gap.reason) == ("03-31 01:00", "late: superseded by a newer fire time")
    assert {run.attempt for run in done} == {1, 2}
    on_change = [local(run) for run in rows if local(run).startswith("03-29 0")][:6]
    assert on_change == [f"03-29 {t}" for t in ("00:00", "00:30", "01:00", "01:30", "03:00", "03:30")]


def test_cleanup_moves_out_of_the_hour_that_does_not_exist(fortnight: World) -> None:
    rows = fortnight.rows("clean-up")
    assert len(rows) == 14
    assert [local(run) for run in rows if local(run).startswith("03-29")] == ["03-29 03:00"]
    assert {local(run)[6:] for run in rows if not local(run).startswith("03-29")} == {"02:30"}
    (missed,) = [run for run in rows if run.outcome is not Outcome.SUCCESS]
    assert (local(missed), missed.outcome, missed.reason) == (
        "03-31 02:30",
        Outcome.MISSED,
        "late: catch-up skip",
    )


def test_newsletter_goes_out_on_fridays_at_ten_in_new_york(fortnight: World) -> None:
    rows = fortnight.rows("newsletter")
    assert [run.fire_at for run in rows] == [utc("2026-03-27T14:00:00"), utc("2026-04-03T14:00:00")]
    assert [run.outcome for run in rows] == [Outcome.SUCCESS] * 2


def test_cache_warming_never_overlaps_and_says_what_it_skipped(fortnight: World) -> None:
    rows = fortnight.rows("cache-warm")
    assert fortnight.workers.most_alive["cache-warm"] == 1
    # Each run takes 400 s of a 300 s interval: every second fire time finds one active.
    on_first_day = [run.outcome for run in rows[:100]]
    assert on_first_day == [Outcome.SUCCESS, Outcome.SKIPPED] * 50
    gap = next(run for run in rows if run.outcome is Outcome.MISSED)
    assert (local(gap), gap.fire_count) == ("03-31 01:00", 110)
