"""When a fire time's run starts: jitter and blackouts, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cronq.model import SECOND, Micros
from cronq.render.times import duration, full

if TYPE_CHECKING:
    from datetime import tzinfo

    from cronq.plan import Placement


class Start(NamedTuple):
    """When a run may start.

    Attributes:
        at: None: it is skipped.
        note: Why that is not its fire time; empty where it is.
    """

    at: Micros | None
    note: str = ""


def start_of(placement: Placement | None, fire_at: Micros, zone: tzinfo) -> Start:
    """Return when the run of a fire time starts, if the scheduler is there in time."""
    if placement is None:
        return Start(fire_at)
    delay = placement.delay_us(fire_at)
    at = fire_at + delay
    hold = placement.hold(at)
    if hold is not None and hold.drops:
        return Start(None, f"skipped (blackout {hold.text})")
    if hold is not None:
        return Start(hold.ends_at, f"waits until {full(hold.ends_at, zone)} (blackout {hold.text})")
    return Start(at, f"starts {duration(delay / SECOND)} later (jitter)" if delay else "")
