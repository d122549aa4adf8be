"""What a changed calendar does to jobs, beyond what the transcripts show."""

from __future__ import annotations

import pytest

from cronq.cli._calendars import store_calendar
from cronq.cli._session import Session
from cronq.cli._terminal import Environment
from cronq.errors import ScheduleError
from tests.cli.world import World, at


def session(world: World) -> Session:
    cwd = world.root / "work"
    return Session(Environment(None, None, None, world.environ, cwd=lambda: cwd, now=lambda: world.now))


@pytest.fixture
def office(world: World) -> World:
    """A world where a job follows a calendar that closes the coming Monday."""
    (world.root / "work" / "closed.txt").write_text("2026-01-05 inventory\n", encoding="utf-8")
    assert world.run("calendars", "add", "office", "closed.txt").code == 0
    answer = world.run("add", "report", "0 9 * * mon", "--calendar", "office:skip", "--", "true")
    assert answer.code == 0, answer.err
    return world


def test_a_date_that_is_given_back_moves_the_next_run_to_an_earlier_one(office: World) -> None:
    store = office.store()
    assert store.job("report").next_fire_at == at("2026-01-12T09:00:00Z")
    ((was, now),) = store_calendar(session(office), store, "office", "2026-02-02\n")
    assert was.next_fire_at == at("2026-01-12T09:00:00Z")
    assert now.next_fire_at == store.job("report").next_fire_at == at("2026-01-05T09:00:00Z")
    assert now.revision == was.revision + 1
    store.close()


def test_a_calendar_that_a_job_cannot_be_computed_with_changes_nothing(office: World) -> None:
    store = office.store()
    before = store.calendars(), store.job("report")
    with pytest.raises(ScheduleError):
        store_calendar(session(office), store, "office", "holidays:XX")
    assert (store.calendars(), store.job("report")) == before
    store.close()


def test_a_paused_job_stays_paused_and_moves_quietly(office: World) -> None:
    assert office.run("pause", "report").code == 0
    (office.root / "work" / "closed.txt").write_text("2026-02-02\n", encoding="utf-8")
    answer = office.run("calendars", "add", "office", "closed.txt", "--replace")
    assert answer.code == 0
    assert "report" not in answer.out
    store = office.store()
    job = store.job("report")
    assert job.paused_at is not None
    assert job.next_fire_at == at("2026-01-05T09:00:00Z")
    store.close()


def test_a_calendar_that_nobody_uses_moves_nothing(office: World) -> None:
    store = office.store()
    assert store_calendar(session(office), store, "other", "2026-01-06\n") == []
    assert set(store.calendars()) == {"office", "other"}
    store.close()


def test_times_that_were_due_under_the_old_calendar_are_accounted_for(office: World) -> None:
    office.now = at("2026-01-12T10:00:00Z")
    (office.root / "work" / "closed.txt").write_text("2026-01-12 too late\n", encoding="utf-8")
    assert office.run("calendars", "add", "office", "closed.txt", "--replace").code == 0
    listed = office.run("runs", "report", tty=False).out
    assert "2026-01-12T09:00:00Z" in listed


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"\xff\xfe2026", "is not UTF-8 text"), (b"x" * 8_000_001, "is larger than 8 MB")],
)
def test_files_that_are_no_text_are_refused(world: World, content: bytes, problem: str) -> None:
    (world.root / "work" / "odd.txt").write_bytes(content)
    answer = world.run("calendars", "add", "odd", "odd.txt")
    assert answer.code == 2
    assert problem in answer.err
    assert not list(world.root.glob("home/**/cronq.db"))


def test_the_name_of_a_calendar_fits_the_store(world: World) -> None:
    (world.root / "work" / "closed.txt").write_text("2026-01-05\n", encoding="utf-8")
    assert world.run("calendars", "add", "a" * 63, "closed.txt").code == 0
    assert world.run("calendars", "add", "a" * 64, "closed.txt").code == 2
