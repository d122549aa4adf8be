"""Commands on a machine whose clock was set back: a changed job names no fire time a second time (G1)."""

from __future__ import annotations

import pytest

from cronq.cli._calendars import store_calendar
from cronq.model import Outcome
from cronq.rezone import FACT, follow_zone_data
from cronq.store import RunQuery
from tests.cli.test_calendars import session
from tests.cli.world import World, at

LAST = at("2026-01-02T12:00:00Z")
"""The last of the fire times, 09:00 to 12:00, that one row accounts for."""


@pytest.fixture
def rewound(world: World) -> World:
    """A world where an hourly job missed a morning, and then the clock was set back into it."""
    (world.root / "work" / "closed.txt").write_text("2026-02-02\n", encoding="utf-8")
    assert world.run("calendars", "add", "office", "closed.txt").code == 0
    added = world.run(
        "add", "job", "0 * * * *", "--calendar", "office:skip", "--catch-up", "skip", "--", "true"
    )
    assert added.code == 0, added.err
    world.now = at("2026-01-02T12:30:00Z")
    world.tick()
    world.now = at("2026-01-02T09:45:00Z")
    return world


def go_on(world: World) -> list[tuple[str, int]]:
    """Let the scheduler see the hours again; return (outcome or state, fire times) of each row."""
    while world.now < LAST:
        world.tick()
        world.sleep(600)
    store = world.store()
    rows = [(str(run.outcome or run.state), run.fire_count) for run, _ in store.runs(RunQuery(("job",)))]
    store.close()
    return rows


@pytest.mark.parametrize(
    "words",
    [
        ("set", "job", "*/30 * * * *"),
        ("set", "job", "--timeout", "1m"),
        ("add", "job", "*/30 * * * *", "--replace", "--", "true"),
        ("pause", "job"),
    ],
)
def test_clock_jumps_back_and_the_job_is_edited(rewound: World, words: tuple[str, ...]) -> None:
    answer = rewound.run(*words)
    assert answer.code == 0, answer.err
    store = rewound.store()
    job = store.job("job")
    assert job.next_fire_at is not None
    assert job.next_fire_at > LAST
    store.close()
    assert go_on(rewound) == [(Outcome.MISSED, 4)]


def test_clock_jumps_back_and_another_edit_goes_back_to_the_first_schedule(rewound: World) -> None:
    assert rewound.run("set", "job", "0 3 * * *").code == 0
    assert rewound.run("set", "job", "0 * * * *").code == 0
    assert go_on(rewound) == [(Outcome.MISSED, 4)]


def test_clock_jumps_back_and_the_calendar_changes(rewound: World) -> None:
    store = rewound.store()
    assert store_calendar(session(rewound), store, "office", "2026-02-03\n") == []
    store.close()
    assert go_on(rewound) == [(Outcome.MISSED, 4)]


def test_clock_jumps_back_and_the_zone_data_change(rewound: World) -> None:
    store = rewound.store()
    store.set_fact(FACT, "2026a")
    assert follow_zone_data(store, rewound.now, "2026b") == []
    store.close()
    assert go_on(rewound) == [(Outcome.MISSED, 4)]
