"""Bit sets from the items of a field.

A range that goes forwards is a line of arithmetic here. One that goes round (`fri-mon`, `22-3`) is
read by croniter, which is imported only then: importing it takes as long as a whole command, and
expanding a field with it is what parsing would otherwise spend its time on. The property tests
hold all other shapes against `croniter.expand` too.
"""

from __future__ import annotations

from cronq.errors import InvariantError
from cronq.schedule.fields import WEEKDAY, Field, FieldSyntax, Item

_POSITION = {"second": 0, "minute": 0, "hour": 1, "day": 2, "month": 3, "weekday": 4}


def mask_of(syntax: FieldSyntax, name: str) -> int:
    """Bit n is set where the field's ranges hold n; Sunday is bit 0 only.

    Special day items (`L`, `W`, `#`) are not numbers and leave no bit.

    Args:
        syntax: The field as written.
        name: The job's name, which places `H`.
    """
    field = syntax.field
    mask = 0
    around = []
    for item in syntax.items:
        if item.kind == "hash":
            mask |= _hashed(item, field, name)
        elif item.kind in ("range", "all"):
            if item.low <= item.high:
                mask |= stepped(item.low, item.high, item.step or 1)
            else:
                around.append(item)
    if around:
        mask |= _expanded(around, field)
    return _fold(field, mask)


def stepped(low: int, high: int, step: int) -> int:
    """The bits low, low + step, … up to high."""
    if step == 1:
        return (2 << high) - (1 << low)
    mask = 0
    for value in range(low, high + 1, step):
        mask |= 1 << value
    return mask


def bits(mask: int) -> list[int]:
    """The set bits, ascending."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


def _fold(field: Field, mask: int) -> int:
    if field is WEEKDAY and mask >> 7:
        return (mask | 1) & 127
    return mask


def _expanded(items: list[Item], field: Field) -> int:
    from croniter import CroniterError, croniter

    # `a-a` means everything to croniter, so it never sees one: Sunday that opens a range is 0.
    texts = []
    for item in items:
        low = 0 if item.low == 7 and field is WEEKDAY else item.low
        texts.append(f"{low}-{item.high}" if low != item.high else str(low))
    fields = ["*"] * 5
    fields[_POSITION[field.name]] = ",".join(texts)
    try:
        values = croniter.expand(" ".join(fields))[0][_POSITION[field.name]]
    except CroniterError as error:
        raise InvariantError(f"croniter refuses {fields} which cronq has checked") from error
    if values == ["*"]:
        return stepped(field.low, field.high, 1)
    mask = 0
    for value in values:
        mask |= 1 << int(value)
    return mask


def _hashed(item: Item, field: Field, name: str) -> int:
    low, high, step = item.low, item.high, item.step
    size = high - low + 1
    first = low + placement(name, field.name) % (min(step, size) if step else size)
    return stepped(first, high, step) if step else 1 << first


def placement(name: str, field_name: str) -> int:
    """A number that a job's name alone decides, different for each field."""
    from hashlib import blake2b

    digest = blake2b(f"{name}\0{field_name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
