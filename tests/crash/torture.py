"""The torture: the real program under a random schedule of faults, against what its jobs wrote down.

Run it as `python -m tests.crash.torture --seconds 600 [--seed N]`. Rounds on three worlds (a plain folder, a
disk that fills up, a clock that is set) follow one another; each round begins with an empty ledger, is
tormented for a while, is then left in peace until nothing is queued or running, and is compared with the
witness of its jobs (`tests.crash.witness`). A world that cannot be made here is left out, and that is said.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cronq.worker import kernel
from tests.crash.program import descendants
from tests.crash.torment import PATIENCE_S, Torment
from tests.crash.torture_faults import next_fault
from tests.crash.torture_worlds import WORLDS, Unavailable, World, wait_for
from tests.crash.witness import Findings, compare

Maker = Callable[[Path], AbstractContextManager[World]]
"""Makes a world in an empty folder."""

ROUND_S = 60.0
"""How long one ledger is tormented; shorter if there is not time for each world."""


@dataclass
class Result:
    """What was done and found, in one round or in all.

    Attributes:
        diary: Of the rounds in which something was found.
        left_out: What could not be done on this machine.
    """

    rounds: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    deeds: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    fire_times: int = 0
    attempts: int = 0
    findings: Findings = field(default_factory=Findings)
    diary: list[str] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)

    def add(self, other: Result) -> None:
        """Add a round."""
        for name in ("rounds", "kills", "deeds", "outcomes"):
            getattr(self, name).update(getattr(other, name))
        self.fire_times += other.fire_times
        self.attempts += other.attempts
        self.findings.add(other.findings)
        self.diary += other.diary
        self.left_out |= other.left_out

    def table(self) -> str:
        """Return the account that people read."""
        lines = [f"rounds      {_counts(self.rounds)}"]
        lines += [f"left out    {reason}" for reason in sorted(self.left_out)]
        lines += ["", *(f"{count:7}  {name}" for name, count in sorted(self.deeds.items()))]
        lines += ["", f"{self.kills.total():7}  kills: {_counts(self.kills)}"]
        lines += [f"{self.fire_times:7}  fire times", f"{self.attempts:7}  attempts that started"]
        lines += [f"{self.outcomes.total():7}  runs: {_counts(self.outcomes)}", "", str(self.findings)]
        return "\n".join(lines)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counter.most_common()) or "none"


def torture(
    seed: int, seconds: float, makers: Sequence[Maker] = WORLDS, tell: Callable[[str], None] = print
) -> Result:
    """Torment cronq for some time.

    Args:
        seed: Of the dice. The moments of the faults depend on the machine as well.
        seconds: How long; the last round may take longer.
        makers: The worlds, one after the other.
        tell: Where news go.
    """
    result = Result()
    ends_at = time.monotonic() + seconds
    round_s = min(ROUND_S, seconds / len(makers))
    number = 0
    # Once all of them, however short the time.
    while number < len(makers) or time.monotonic() < ends_at:
        number += 1
        maker = makers[(number - 1) % len(makers)]
        folder = Path(tempfile.mkdtemp(prefix="cronq-torture-"))
        left_s = min(round_s, max(1.0, ends_at - time.monotonic()))
        try:
            with maker(folder) as world:
                one = torture_round(world, random.Random(f"{seed}:{number}"), left_s)
        except Unavailable as reason:
            result.left_out.add(str(reason))
            if len(result.left_out) == len(makers):
                break
            continue
        finally:
            shutil.rmtree(folder)
        result.add(one)
        tell(
            f"round {number} {world.name}: {one.kills.total()} kills, {one.attempts} attempts, {one.findings}"
        )
        for line in (*one.findings.details(), *one.diary):
            tell(f"  {line}")
    return result


def torture_round(world: World, dice: random.Random, seconds: float) -> Result:
    """Torment one world; leave nothing of it."""
    t = Torment(world, dice)
    result = Result(rounds=Counter([world.name]), kills=t.kills, deeds=t.deeds, findings=t.findings)
    try:
        firsts = world.add_jobs(lambda: dice.choice([0.0, 0.1, 0.3, 0.8]))
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at and not t.findings:
            fault = next_fault(world, dice)
            t.deeds[fault.name] += 1
            t.note(f"- {fault.name}")
            fault.do(t)
            t.look_for_zombies()
        _settle(t, firsts, result)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        t.findings.stuck.append(f"the driver waited in vain: {error}")
    finally:
        for pid in world.processes():
            kernel.send_signal(pid, signal.SIGKILL, kernel.start_ticks(pid))
        t.bury()
        wait_for(lambda: not world.processes(), PATIENCE_S)
    if t.findings:
        result.diary = [f"{world.name}, what was done last first:", *reversed(t.diary)]
        named = set(re.findall(r"(?:run_id=|#|\()(\d+)", " ".join(t.findings.details())))
        result.diary += ["what was told of these runs:"]
        result.diary += [str(event) for event in t.events if str(event.get("run_id")) in named]
        result.diary += [str(line) for line in world.lines() if str(line.run_id) in named]
    return result


def _settle(t: Torment, firsts: dict[str, datetime], result: Result) -> None:
    """Leave a world in peace until nothing is queued or running; then compare."""
    life = t.alive()
    for name in firsts:
        # Each still fires and runs.
        life.wait_for("attempt_finished", job=name)
    settled = t.world.retire_jobs(firsts)
    t.look_for_zombies()
    _wait_for_zombies(t)
    life.signal(signal.SIGTERM)
    _end(t)
    t.life = t.world.cronq.start("--until-idle")
    _end(t)
    if not wait_for(lambda: not t.world.processes(), PATIENCE_S):
        t.findings.stuck.append(f"left behind: {[kernel.process_info(pid) for pid in t.world.processes()]}")
    lines = t.world.lines()
    ledgers = t.world.ledgers(firsts, settled)
    t.findings.add(compare(lines, ledgers, t.done))
    runs = [run for ledger in ledgers.values() for run in ledger.runs]
    result.attempts = sum(line.word == "start" for line in lines)
    result.fire_times = sum(run["fire_count"] for run in runs if run["fire_at"] is not None)
    result.outcomes = Counter(str(run["outcome"]) for run in runs)


def _end(t: Torment) -> None:
    life = t.alive()
    code = life.ended()
    if code != 0:
        t.findings.stuck.append(f"scheduler ended with {code}: {life.errors()}")
    t.bury()


def _wait_for_zombies(t: Torment) -> None:
    """Give what has just died its time; what is then still there is found by its age."""
    scheduler = t.alive().process.pid
    dead = [pid for pid in descendants(scheduler) if _is_zombie(pid)]
    if not wait_for(lambda: not any(_is_zombie(pid) for pid in dead), PATIENCE_S):
        t.findings.zombies += [str(kernel.process_info(pid)) for pid in dead if _is_zombie(pid)]


def _is_zombie(pid: int) -> bool:
    info = kernel.process_info(pid)
    return info is not None and info.state == "Z"


def main(arguments: Sequence[str] | None = None) -> int:
    """Be the command; return 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.torture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (default: 600)")
    parser.add_argument("--seed", type=int, help="of the dice (default: a new one)")
    parser.add_argument("--world", choices=[maker.__name__ for maker in WORLDS], help="only this one")
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    # Whoever stops it wants nothing of it left either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    print(f"CRONQ_SEED={seed}", flush=True)
    makers = [maker for maker in WORLDS if options.world in {None, maker.__name__}]
    result = torture(seed, options.seconds, makers, tell=lambda line: print(line, flush=True))
    print(f"\n{result.table()}")
    return 1 if result.findings else 0


if __name__ == "__main__":
    sys.exit(main())
