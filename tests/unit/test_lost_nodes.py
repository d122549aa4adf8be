"""For how long nothing may be heard of a node, whatever the database's clock shows meanwhile."""

from __future__ import annotations

from cronq.lost_nodes import LostNodes

LEASE_S = 30.0
S = 1_000_000_000
US = 1_000_000
NOW = 1_800_000_000 * US


def test_node_is_lost_when_its_last_beat_has_been_the_last_for_a_lease() -> None:
    watch = LostNodes(LEASE_S)
    assert watch.look([(1, NOW)], 0) == set()
    assert watch.look([(1, NOW)], 29 * S) == set()
    assert watch.look([(1, NOW)], 30 * S) == {1}


def test_node_that_beats_is_not_lost() -> None:
    watch = LostNodes(LEASE_S)
    for seconds in range(0, 300, 10):
        assert watch.look([(1, NOW + seconds * US), (2, NOW)], seconds * S) == (
            {2} if seconds >= 30 else set()
        )


def test_a_step_of_the_databases_clock_neither_ends_a_lease_nor_makes_it_longer() -> None:
    watch = LostNodes(LEASE_S)
    assert watch.look([(1, NOW), (2, NOW)], 0) == set()
    assert watch.look([(1, NOW + 10 * US), (2, NOW)], 10 * S) == set()
    # An hour forward, then two back; the first one beats, of the second nothing is heard.
    assert watch.look([(1, NOW + 3620 * US), (2, NOW)], 20 * S) == set()
    assert watch.look([(1, NOW - 3570 * US), (2, NOW)], 30 * S) == {2}
    assert watch.look([(1, NOW - 3570 * US)], 59 * S) == set()
    assert watch.look([(1, NOW - 3570 * US)], 60 * S) == {1}


def test_who_begins_to_watch_knows_nothing_yet() -> None:
    assert LostNodes(LEASE_S).look([(1, NOW - 3600 * US)], 10_000 * S) == set()


def test_node_that_went_and_came_is_another_sight() -> None:
    watch = LostNodes(LEASE_S)
    watch.look([(1, NOW)], 0)
    watch.look([], 10 * S)
    assert watch.look([(1, NOW)], 35 * S) == set()
