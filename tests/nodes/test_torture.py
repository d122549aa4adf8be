"""Kills, freezes and restarts of the server at random, in its short and its long form."""

from __future__ import annotations

import random

import pytest

from tests.crash.test_torture import dice_seed
from tests.nodes.program import Nodes
from tests.nodes.torture import torture, torture_round


def test_nodes_under_torture_lose_and_double_nothing(own_nodes: Nodes) -> None:
    result = torture_round(own_nodes, random.Random(dice_seed()), 12.0, servers=False)
    print(result)
    assert not result.findings
    assert result.starts >= 20


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nodes_under_torture_lose_and_double_nothing_at_length() -> None:
    result = torture(dice_seed(), 900.0)
    print(result)
    assert not result.findings
