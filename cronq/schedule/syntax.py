"""What a part of a schedule can be, as it was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from cronq.schedule.cron import CronSyntax
    from cronq.schedule.every import EverySyntax, NthSyntax
    from cronq.schedule.oncalendar import CalendarSyntax
    from cronq.schedule.pieces import Piece

# The readers of the rarer forms are imported when one is met, so this name is for annotations.
Syntax: TypeAlias = "CronSyntax | EverySyntax | NthSyntax | CalendarSyntax | AtSyntax | StartupSyntax"


class AtSyntax(NamedTuple):
    """A single instant, in microseconds since the epoch."""

    piece: Piece
    at_us: int

    @property
    def is_interval(self) -> bool:
        """False: it names one time."""
        return False


class StartupSyntax(NamedTuple):
    """`@reboot`."""

    piece: Piece

    @property
    def is_interval(self) -> bool:
        """False: no clock names it."""
        return False
