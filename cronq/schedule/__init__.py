"""Schedules: from a text and a zone to fire times, exactly and fast.

::

    text ─ parse ─▶ syntax (with spans) ─▶ walls: a set of wall times, no zone
                        │                     │
                        ├─▶ sentence          ▼
                        └─▶ warnings      timeline: walls × zone × clock-change rule ─▶ instants

    instants ─ shift (calendars) ─ bounds ─▶ arrangement: what the planner asks
    beside them: blackout · placement (jitter) · assertions · describe

`walls` and `days` know no zone, `spans` knows no schedule, and `timeline` alone knows what a clock
change does. Everything inside is an integer: seconds of wall time, microseconds of UTC.
"""

from cronq.schedule.arrangement import Arrangement, arrange
from cronq.schedule.parse import DST_POLICIES, parse
from cronq.schedule.schedule import Schedule, ScheduleWarning

__all__ = ["DST_POLICIES", "Arrangement", "Schedule", "ScheduleWarning", "arrange", "parse"]
