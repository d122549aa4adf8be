"""Workers are killed at random: every claim ends exactly once, and with the truth."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from pathlib import Path

import pytest

from cronq.model import AttemptKey, Outcome
from cronq.worker import kernel
from tests.unit.worker.rig import Rig, shell


@pytest.mark.parametrize("attempts", [60, pytest.param(1500, marks=pytest.mark.slow)])
def test_random_kills_of_workers_lose_and_double_nothing(tmp_path: Path, attempts: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    rig = Rig(tmp_path, size=4)
    expected: dict[AttemptKey, int] = {}
    journal = tmp_path / "journal"
    kills = 0
    # Other tests' orphans come to this process too, once it is a sub-reaper.
    before = zombies()
    while len(rig.ends) < attempts:
        while len(expected) < attempts and rig.pool.idle():
            number = len(expected) + 1
            code = number % 100
            line = f"echo {number} >>{journal}; sleep 0.0{chance.randrange(1, 9)}; exit {code}"
            key = rig.begin(shell(line, success_codes=(code,)))
            expected[key] = code
        rig.pool.want(4)
        if (pids := rig.pool.pids()) and chance.random() < 0.2:
            # One that was killed already may not have been buried yet.
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(pids), signal.SIGKILL)
                kills += 1
        done = len(rig.ends)
        rig.wait(lambda done=done: len(rig.ends) > done or chance.random() < 0.3)  # type: ignore[misc]
    rig.close()
    begun = journal.read_text().split()
    assert kills > attempts / 20
    assert len(begun) == len(set(begun)), "a command was started twice"
    unseen = 0
    for key, end in rig.ends.items():
        if end.outcome is Outcome.ABANDONED and not end.counts:
            assert str(key[0]) not in begun, "it ran, but is said never to have started"
        elif end.outcome is Outcome.ABANDONED:
            unseen += 1  # killed between the lock and the start
        else:
            assert (end.outcome, end.exit_code) == (Outcome.SUCCESS, expected[key])
    assert unseen <= kills / 10
    assert zombies() <= before


def zombies() -> set[int]:
    """Return the dead children of this process that nobody has waited for."""
    return {info.pid for info in kernel.all_processes() if info.parent == os.getpid() and info.state == "Z"}
