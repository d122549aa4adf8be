"""What it costs to decide: the real scheduler and store on a virtual clock, and after a day down for real."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator

from cronq.model import SECOND, CatchUp
from tests.benchmarks.figures import Row, median, spread
from tests.benchmarks.filling import Planned, argv, fill, fill_idle, now_us
from tests.benchmarks.lab import Lab
from tests.benchmarks.program import BOUND_S, Program
from tests.simulation.world import Played, World

MINUTE = 60 * SECOND
FIRING = 50
BEAT_S = 0.05
FLAT, DECIDED_S, DEAF_S = 1.25, 15.0, 1.0


def measure_fires(lab: Lab) -> Iterator[Row]:
    """Processor time of the scheduler for each fire, with ever more jobs that are not due."""
    worlds = {}
    for jobs in (100, 10_000, 100_000, 1_000_000)[: lab.pick(3, 4)]:
        folder = lab.new_folder("fires")
        start = (now_us() // MINUTE + 1) * MINUTE - SECOND
        world = World(folder, start, play=lambda _claim: Played(0.05))
        minutely = argv("true", schedule="* * * * *")
        fill(world.place, (Planned(minutely, start + SECOND) for _ in range(FIRING)))
        fill_idle(world.place, jobs - FIRING, hours=1_000)
        worlds[jobs] = world
    spent: dict[int, list[float]] = {jobs: [] for jobs in worlds}
    for turn in range(lab.rounds + 1):
        for jobs, world in worlds.items():
            fires = len(world.workers.starts)
            began = time.process_time()
            world.run_until(world.clock.wall + lab.pick(4, 20) * MINUTE)
            if turn:  # the first one warms up
                count = len(world.workers.starts) - fires
                spent[jobs].append((time.process_time() - began) / count * 1e6)
    base = median(spent[100])
    for jobs, values in spent.items():
        ratio = median(values) / base
        target, ok = ("", None) if jobs == 100 else (f"≤ {FLAT} of 100 jobs", ratio <= FLAT)
        value = f"{median(values):.0f} µs{spread(values)}"
        yield Row(f"a fire, {jobs:,} jobs", "cronq: deciding, ledger", value, ratio, target, ok)
    for world in worlds.values():
        world.store.close()


def measure_catch_up(lab: Lab) -> Iterator[Row]:
    """A day down, with minutely jobs, under both policies; the runs that come of it wait for workers."""
    jobs = lab.pick(1_000, 10_000)
    bound_s = DECIDED_S * jobs / 10_000
    for policy in (CatchUp.LATEST, CatchUp.ALL):
        program = Program(lab.new_folder("catch-up"))
        definition = argv("/bin/true", schedule="* * * * *", catch_up=policy, catch_up_limit=20)
        due = (now_us() // MINUTE - 24 * 60) * MINUTE
        fill(program.place, (Planned(definition, due) for _ in range(jobs)))
        began = time.monotonic()
        with program.run("--workers", "2", watchdog_s=BEAT_S) as running:
            deaf_s, last = 0.0, time.monotonic()
            database = sqlite3.connect(f"file:{program.place.database}?mode=ro", uri=True)
            while True:
                running.sign(BOUND_S)
                now = time.monotonic()
                deaf_s, last = max(deaf_s, now - last - BEAT_S), now
                wanted = "SELECT count(*) FROM job WHERE next_fire_at < ?"
                if not database.execute(wanted, (now_us() - MINUTE,)).fetchone()[0]:
                    break
            took = time.monotonic() - began
            database.close()
        measure = f"a day down, {jobs:,} jobs, {policy.value}"
        yield Row(
            measure, "cronq: decided", f"after {took:.1f} s", None, f"≤ {bound_s:.1f} s", took <= bound_s
        )
        value = f"at most {deaf_s * 1000:.0f} ms"
        yield Row(measure, "cronq: deaf", value, None, f"≤ {DEAF_S:.0f} s", deaf_s <= DEAF_S)
