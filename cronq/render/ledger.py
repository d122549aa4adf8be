"""What the proof of the ledger found, in words."""

from __future__ import annotations

from datetime import tzinfo

from cronq.audit import Difference, Kind
from cronq.model import Micros
from cronq.render.text import count_of
from cronq.render.times import full


def difference_text(one: Difference, zone: tzinfo) -> str:
    """Return one line about a difference, without its kind; instants in a zone."""
    counted = count_of(one.fire_count, "fire time")
    span = _span(one.first, one.last, zone)
    run = f"run #{one.run_id}"
    if one.kind is Kind.MISSING:
        return f"{counted}, {span}: no row accounts for {'it' if one.fire_count == 1 else 'them'}"
    if one.kind is Kind.EXTRA:
        rule = "outside of the job's life" if one.revision is None else f"none of revision {one.revision}"
        return f"{run} is about {counted}, {span}: {rule}"
    if one.kind is Kind.DOUBLED:
        return f"{run} is about {counted}, {span}, which another row accounts for"
    if one.kind is Kind.COUNT:
        if one.expected == one.fire_count:
            return f"{run} ends with {full(one.last, zone)}, which is no fire time"
        return f"{run} is about {counted}, {span}; there are {one.expected}"
    if one.kind is Kind.ORDER:
        return f"{run}, about {span}, was written before the row of an earlier fire time"
    if one.kind is Kind.REVISION:
        return f"{run}, about {span}, does not name revision {one.revision}, which was in force"
    return f"revision {one.revision} cannot be computed any more; {count_of(one.fire_count, 'row')} of it"


def _span(first: Micros, last: Micros, zone: tzinfo) -> str:
    return full(first, zone) if first == last else f"{full(first, zone)} to {full(last, zone)}"
