"""The torture: its short form, a world at a time, and its long form (see `tests.crash.torture`)."""

from __future__ import annotations

import os
import random
import sys

import pytest

from tests.crash.torture import Maker, torture
from tests.crash.torture_worlds import WORLDS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a sub-reaper and /proc")

SHORT_S = 9.0


def dice_seed() -> int:
    seed = int(os.environ.get("CRONQ_SEED") or random.SystemRandom().randrange(2**32))
    print(f"CRONQ_SEED={seed}")
    return seed


@pytest.mark.parametrize("maker", WORLDS, ids=lambda maker: maker.__name__)
def test_torture_short_form_loses_and_doubles_nothing(maker: Maker) -> None:
    result = torture(dice_seed(), SHORT_S, [maker])
    if result.left_out:
        pytest.skip("; ".join(result.left_out))
    print(result.table())
    assert not result.findings
    assert result.kills.total() >= 3
    assert result.attempts >= 10


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_torture_long_form_loses_and_doubles_nothing() -> None:
    seconds = float(os.environ.get("CRONQ_TORTURE_S", "1500"))
    result = torture(dice_seed(), seconds)
    print(result.table())
    assert not result.findings
    assert result.kills.total() >= seconds / 3
