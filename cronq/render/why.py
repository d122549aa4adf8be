"""Reasons as sentences, their instants in a zone."""

from __future__ import annotations

from datetime import tzinfo

from cronq.render.text import plain
from cronq.render.times import full, iso
from cronq.why.facts import Reason


def sentence(reason: Reason, zone: tzinfo) -> str:
    """Return a reason for people."""
    return "".join(full(part, zone) if isinstance(part, int) else plain(part) for part in reason.parts)


def exact(reason: Reason) -> str:
    """Return a reason for machines: instants in UTC."""
    return "".join((iso(part) or "") if isinstance(part, int) else plain(part) for part in reason.parts)
