"""`--jitter`: how much later than its fire time a run may start, so that jobs do not start all at once.

A delay is a hash and not a chance: the same job has the same one each time (`5m`), or the same one for
the same fire time (`random:5m`), on any machine and after any restart. Fire times are never touched.
"""

from __future__ import annotations

from typing import NamedTuple

from cronq.errors import DurationError
from cronq.schedule.duration import format_duration, parse_duration
from cronq.schedule.pieces import Piece, did_you_mean, printable
from cronq.schedule.walls import DAY_US, US

_HINT = "such as `5m` (always the same delay of at most 5 minutes) or `random:5m` (another one each time)"
_MAX_US = 7 * DAY_US
_MAX_CHARS = 80


class Jitter(NamedTuple):
    """Up to how much later a run starts.

    Attributes:
        span_us: Microseconds; a delay is shorter.
        is_random: Each fire time has a delay of its own; else each job.
    """

    span_us: int
    is_random: bool

    @property
    def text(self) -> str:
        """The normal form."""
        return ("random:" if self.is_random else "") + format_duration(self.span_us / US)


def parse_jitter(text: str) -> Jitter:
    """The jitter of `5m` or `random:5m`.

    Raises:
        ScheduleError: It cannot be read; points at the place.
    """
    if len(text) > _MAX_CHARS:
        cut = text[:_MAX_CHARS]
        raise Piece(cut, 0, len(cut)).error("too long for a jitter", _HINT)
    whole = Piece(text, 0, len(text)).stripped()
    word, colon, _ = whole.text.partition(":")
    if colon and word.lower() != "random":
        if not word:
            raise whole.error("the kind of jitter is missing before `:`", _HINT)
        wrong = whole.cut(0, len(word))
        raise wrong.error(
            f"unknown kind of jitter `{printable(word)}`", did_you_mean(word, ["random"]) or _HINT
        )
    rest = whole.cut(len(word) + 1, len(whole.text)) if colon else whole
    try:
        span_us = round(parse_duration(rest.text) * US)
    except DurationError as error:
        left, right = error.span or (0, len(rest.text))
        raise rest.cut(left, right).error(error.message, error.hint or _HINT) from error
    if span_us <= 0:
        raise rest.error("a jitter of nothing", "leave it out, or write how much later a run may start")
    if span_us > _MAX_US:
        raise rest.error("the jitter is longer than a week", _HINT)
    return Jitter(span_us, bool(colon))


def delay_us(jitter: Jitter, name: str, fire_at_us: int, run_seed: int = 0) -> int:
    """How many microseconds after its fire time a run starts: 0 <= delay < span.

    Args:
        jitter: As read.
        name: The job's name.
        fire_at_us: The fire time; only `random:` looks at it.
        run_seed: Something else that tells runs apart; only `random:` looks at it.
    """
    from hashlib import blake2b

    # The name comes last and nothing else may hold a NUL, so that no two inputs hash as one.
    key = f"random\0{fire_at_us}\0{run_seed}\0{name}" if jitter.is_random else f"stable\0{name}"
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    # The high bits of a product are spread as evenly as the hash, for any span.
    return int.from_bytes(digest, "big") * jitter.span_us >> 64
