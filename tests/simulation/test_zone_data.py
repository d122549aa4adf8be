"""Zone data that are replaced while a scheduler lives, or while a fire time is due: nothing vanishes."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from cronq import timing
from cronq.audit import Kind
from cronq.clock import us_from_datetime
from cronq.events import Notice
from cronq.model import SECOND, Definition, Job, Micros, Outcome
from cronq.plan import LAPSED
from cronq.proof import Proof, prove
from cronq.schedule import parse, zones
from cronq.schedule.surprises import note_at
from cronq.store import NewJob
from tests.simulation.world import TRUE, World, utc
from tests.zone_files import ZONE, ZoneFiles

Worlds = Callable[..., World]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ZoneFiles]:
    """Zone data 2099a, in which the zone is UTC."""
    made = ZoneFiles(tmp_path / "zones")
    made.put("2099a", 0)
    monkeypatch.setattr(zoneinfo, "TZPATH", (str(made.folder),))
    timing.forget_zone_data()
    yield made
    timing.forget_zone_data()


def fired(w: World, name: str) -> list[tuple[Micros | None, Outcome | None]]:
    return [(run.fire_at, run.outcome) for run in w.rows(name)]


def move(path: Path, to: Path) -> None:
    path.rename(to)


def proof_of(w: World, name: str) -> Proof:
    (job_id,) = w.store.ever([name])
    return prove(w.store, job_id, w.clock.wall)


def notices(w: World) -> list[str]:
    return [event.message for event in w.told if isinstance(event, Notice)]


@pytest.mark.parametrize("version", ["2099a", "2099b"])
def test_row_zone_data_changed_under_a_running_scheduler(
    world: Worlds, files: ZoneFiles, version: str
) -> None:
    w = world()
    w.add("daily", "0 9 * * *", tz=ZONE)
    w.add("plain", "0 9 * * *")
    w.add("same", "30 * * * *", tz=ZONE)
    # Also when nobody changed the version: a zone was built anew, or the version is not known.
    w.clock.at(utc("2026-03-02T08:00:30"), lambda: files.put(version, -1))
    w.run_until(utc("2026-03-03T12:00:00"))
    assert fired(w, "daily") == [
        (utc("2026-03-02T10:00:00"), Outcome.SUCCESS),
        (utc("2026-03-03T10:00:00"), Outcome.SUCCESS),
    ]
    assert [one for one in notices(w) if "moved" in one] == [
        "daily: next run moved from 2026-03-02 09:00 UTC to 2026-03-02 10:00 UTC"
        f" (zone data 2099a → {version})"
    ]
    assert (w.store.job("daily").revision, w.store.job("plain").revision) == (2, 1)
    assert w.store.job("same").revision == (1 if version == "2099a" else 2)
    assert not proof_of(w, "daily").total


def test_new_zone_data_that_only_a_command_has_seen_are_followed_at_once(
    world: Worlds, files: ZoneFiles
) -> None:
    w = world("2026-03-02T06:00:00")
    w.add("earlier", "30 * * * *", tz=ZONE)

    def upgrade() -> None:
        files.put("2099b", 1)
        # As `cronq add`, a process of its own, would: its watermark is of the new data.
        definition = Definition(TRUE, "1 7 * * *", tz=ZONE)
        new = NewJob("job", definition, utc("2026-03-02T06:01:00"), False, tzdata="2099b")
        w.store.add_job(new, now=w.clock.wall)

    w.clock.at(utc("2026-03-02T06:00:40"), upgrade)
    w.clock.at(utc("2026-03-02T06:00:20"), lambda: None)
    w.run_until(utc("2026-03-03T12:00:00"))
    assert fired(w, "job") == [
        (utc("2026-03-02T06:01:00"), Outcome.SUCCESS),
        (utc("2026-03-03T06:01:00"), Outcome.SUCCESS),
    ]
    assert not proof_of(w, "job").total
    assert not proof_of(w, "earlier").total


def test_a_zone_that_only_new_data_have_is_found_by_a_running_scheduler(
    world: Worlds, files: ZoneFiles
) -> None:
    w = world("2026-03-02T06:00:00")
    assert not zones.is_zone("Test/New")

    def upgrade() -> None:
        (files.folder / "Test" / "New").write_bytes((files.folder / ZONE).read_bytes())
        (files.folder / "+VERSION").write_text("2099bb\n")
        definition = Definition(TRUE, "1 6 * * *", tz="Test/New")
        new = NewJob("job", definition, utc("2026-03-02T06:01:00"), False, tzdata="2099bb")
        w.store.add_job(new, now=w.clock.wall)

    w.clock.at(utc("2026-03-02T06:00:40"), upgrade)
    w.run_until(utc("2026-03-02T12:00:00"))
    assert fired(w, "job") == [(utc("2026-03-02T06:01:00"), Outcome.SUCCESS)]
    assert w.store.job("job").paused_at is None


@pytest.mark.parametrize(("hours_east", "then"), [(-1, "2026-03-02T10:00:00"), (1, "2026-03-03T08:00:00")])
def test_a_due_fire_time_that_new_zone_data_do_not_name_is_recorded_as_missed(
    world: Worlds, files: ZoneFiles, hours_east: int, then: str
) -> None:
    w = world()
    w.add("job", "0 9 * * *", tz=ZONE)
    w.run_until(utc("2026-03-02T08:30:00"))
    w.be_down_until(utc("2026-03-02T09:20:00"))
    files.put("2099b", hours_east)
    timing.forget_zone_data()
    w.run_until(utc("2026-03-03T08:30:00"))
    promised = utc("2026-03-02T09:00:00")
    assert fired(w, "job") == [(promised, Outcome.MISSED), (utc(then), Outcome.SUCCESS)]
    assert w.rows("job")[0].reason == LAPSED
    (job_id,) = w.store.ever(["job"])
    assert [one.since for one in w.store.past(job_id).revisions] == [w.born, promised]
    # The row is of the old data, by which nobody can compute any more.
    proof = proof_of(w, "job")
    assert not proof.total
    assert (Kind.EXTRA, promised) in [(one.kind, one.first) for one in proof.unproven]


def test_a_fire_time_in_a_pause_that_new_zone_data_do_not_name_is_skipped(
    world: Worlds, files: ZoneFiles
) -> None:
    w = world()
    w.add("job", "0 9 * * *", tz=ZONE)
    w.run_until(utc("2026-03-02T08:30:00"))
    w.pause("job")
    w.be_down_until(utc("2026-03-02T09:20:00"))
    files.put("2099b", -1)
    timing.forget_zone_data()
    w.run_until(utc("2026-03-02T09:30:00"))
    assert fired(w, "job") == [(utc("2026-03-02T09:00:00"), Outcome.SKIPPED)]
    assert w.store.job("job").paused_at is not None
    assert not proof_of(w, "job").total


def test_a_folder_that_is_missing_while_it_is_replaced_changes_nothing(
    world: Worlds, files: ZoneFiles
) -> None:
    w = world()
    w.add("job", "0 9 * * *", tz=ZONE)
    away = files.folder.with_name("away")
    w.clock.at(utc("2026-03-02T08:00:30"), lambda: move(files.folder, away))
    w.clock.at(utc("2026-03-02T09:00:30"), lambda: move(away, files.folder))
    w.run_until(utc("2026-03-02T12:00:00"))
    assert fired(w, "job") == [(utc("2026-03-02T09:00:00"), Outcome.SUCCESS)]
    assert w.store.job("job").revision == 1
    w.check()


def test_looks_for_new_zone_data_are_rare_and_wake_nobody(
    world: Worlds, files: ZoneFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Micros] = []
    w = world()
    w.add("often", "every 1s", tz=ZONE)

    def look() -> bool:
        looks.append(w.clock.elapsed)
        return False

    monkeypatch.setattr("cronq.rezone.were_replaced", look)
    w.run_until(utc("2026-03-02T00:10:00"))
    assert 8 <= len(looks) <= 10
    assert all(later - earlier >= 60 * SECOND for earlier, later in pairwise(looks))


def test_all_that_remembers_a_zone_forgets_it(files: ZoneFiles) -> None:
    start = datetime.fromisoformat("2026-03-02T00:00:00+00:00")
    definition = Definition(TRUE, "0 9 * * *", tz=ZONE, blackouts=("08:00-08:30:drop",))
    job = Job(1, "job", 1, definition, 0, 0, 0)

    def seen() -> list[object]:
        bounded = timing.fire_times(definition._replace(valid_from="2026-01-01"), "job")
        plain = timing.times_of(job)
        placement = timing.placement_of(job)
        assert placement is not None
        at = us_from_datetime(start)
        hold = placement.hold(utc("2026-03-02T08:15:00"))
        return [bounded.next_us(at), plain.next_us(at), hold, zones.tzdata_version().version]

    before = seen()
    assert note_at(parse("0 9 * * *", tz=ZONE), utc("2026-03-02T09:00:00")) is None
    files.put("2099b", 1)
    assert seen() == before
    assert zones.were_replaced()
    timing.forget_zone_data()
    assert not zones.were_replaced()
    after = seen()
    assert all(one != other for one, other in zip(before, after, strict=True)), (before, after)
