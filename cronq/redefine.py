"""A job's new definition, or new data under the old one: where it takes over, and what its watermark becomes.

Every change that moves a watermark otherwise than by accounting for fire times goes through here and makes a
new revision, so that `cronq audit` can tell for any instant which definition was in force.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.model import Definition, Micros
from cronq.plan import Launch
from cronq.schedule.zones import tzdata_version
from cronq.store import DueJob, JobChange

if TYPE_CHECKING:
    from cronq.schedule.arrangement import Arrangement
    from cronq.schedule.schedule import Schedule


def zone_data(definition: Definition) -> str | None:
    """Return the version of the zone data that compute a job's fire times; None: UTC needs none."""
    return None if definition.tz == "UTC" else tzdata_version().version


def redefine(
    due: DueJob, settled: Launch, definition: Definition, times: Schedule | Arrangement, since: Micros
) -> JobChange:
    """Return the change that puts a definition in force.

    Args:
        due: The job as read.
        settled: What becomes of its fire times that were due until now.
        definition: The new one; the old one if what is new lies elsewhere.
        times: Its fire times.
        since: The instant up to which, itself included, the old fire times hold: `due.since(now)`, or later.
    """
    return JobChange(
        settled._replace(next_fire_at=times.next_us(since)),
        definition,
        paused_at=due.job.paused_at,
        at_startup=times.at_startup,
        since=since,
        tzdata=zone_data(definition),
    )
