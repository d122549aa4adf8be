"""Where starts are put: jitter and blackouts in the planner."""

from __future__ import annotations

from cronq.model import SECOND, Outcome, Overlap, Trigger
from cronq.plan import Active, Fire, Hold, Passed, decide
from tests.unit.test_plan import EVERY_MINUTE, at, job


class Placed:
    """A placement with a fixed jitter and one blackout."""

    def __init__(self, delay: int = 0, hold: Hold | None = None, until: int = 0) -> None:
        self.delay, self.blackout, self.until = delay, hold, until

    def delay_us(self, fire_at: int) -> int:
        return self.delay

    def hold(self, at: int) -> Hold | None:
        return self.blackout if at < self.until else None


def test_jitter_moves_the_start_and_never_the_fire_time() -> None:
    subject, times, now = job(), EVERY_MINUTE, at(1)
    launch = decide(subject, times, Active(), now, Placed(delay=5 * SECOND))
    (fire,) = launch.entries
    assert fire == Fire(now, Trigger.SCHEDULE, now + 5 * SECOND)
    assert launch.next_fire_at == decide(subject, times, Active(), now).next_fire_at


def test_a_start_in_a_blackout_is_dropped_with_its_reason() -> None:
    subject, times, now = job(overlap=Overlap.REPLACE), EVERY_MINUTE, at(1)
    launch = decide(
        subject, times, Active(running=1), now, Placed(0, Hold(now + 1, True, "02:00-04:00"), now + 1)
    )
    (entry,) = launch.entries
    assert entry == Passed(now, now, 1, Outcome.SKIPPED, "blackout: 02:00-04:00")
    assert not launch.replaces


def test_a_start_in_a_deferring_blackout_waits_for_its_end() -> None:
    subject, times, now = job(), EVERY_MINUTE, at(1)
    ends_at = now + 3600 * SECOND
    launch = decide(subject, times, Active(), now, Placed(0, Hold(ends_at, False, "x"), ends_at))
    assert launch.entries == (Fire(now, Trigger.SCHEDULE, ends_at),)


def test_jitter_can_move_a_start_out_of_a_blackout() -> None:
    subject, times, now = job(), EVERY_MINUTE, at(1)
    placed = Placed(5 * SECOND, Hold(now + SECOND, True, "x"), now + SECOND)
    assert decide(subject, times, Active(), now, placed).entries == (
        Fire(now, Trigger.SCHEDULE, now + 5 * SECOND),
    )
