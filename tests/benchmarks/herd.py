"""Many jobs due at one instant: how late each starts, in which order, and whether one is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from tests.benchmarks import contestants as c
from tests.benchmarks.figures import Row, median, ms, quantile, spread
from tests.benchmarks.filling import place_in
from tests.benchmarks.lab import Lab, Skipped

SLOTS = 32
TIMES_BARE = 1.7
CONTESTANTS: dict[str, c.Ask] = {
    "bare loop in C": c.bare_herd,
    "cronq": c.cronq_herd,
    "huey, SQLite": c.peer("huey_jobs", "commands", "file", lambda count: 2 + count / 1_000),
    "APScheduler, memory": c.peer("apscheduler_jobs", "commands", "memory", lambda count: 2 + count / 2_000),
    "APScheduler, SQLite": c.peer("apscheduler_jobs", "commands", "file", lambda count: 2 + count / 150),
}
AT_FULL_MINUTES: dict[str, c.Ask] = {"busybox crond": c.busybox_herd, "Debian cron": c.cron_herd}


def measure_thousand(lab: Lab) -> Iterator[Row]:
    """A thousand jobs."""
    return _measure(lab, 1_000, lab.rounds, with_minutes=not lab.quick)


def measure_ten_thousand(lab: Lab) -> Iterator[Row]:
    """Ten thousand jobs."""
    return _measure(lab, lab.pick(3_000, 10_000), lab.pick(1, 3), with_minutes=False)


def _measure(lab: Lab, count: int, rounds: int, *, with_minutes: bool) -> Iterator[Row]:
    measure = f"{count:,} due at once"
    absent: set[str] = set()
    found: dict[str, list[tuple[float, float]]] = {}
    orders: list[str] = []
    for turn in range(rounds):
        asked = CONTESTANTS | (AT_FULL_MINUTES if with_minutes and turn == 0 else {})
        for name, ask in asked.items():
            if name in absent:
                continue
            try:
                started = ask(lab, count, SLOTS)
            except Skipped as error:
                absent.add(name)
                lab.note(f"{measure}: {name} left out: {error}")
                continue
            late = [stamp.at_s - started.due_s for stamp in started.stamps]
            found.setdefault(name, []).append((quantile(late, 0.5), quantile(late, 0.99)))
            if name == "cronq":
                orders.append(_order(started, count))
    bare = median([p99 for _, p99 in found["bare loop in C"]])
    for name, times in found.items():
        p50, tails = median([p50 for p50, _ in times]), [p99 for _, p99 in times]
        ratio = median(tails) / bare
        value = f"p50 {ms(p50)}, p99 {ms(median(tails))}{spread(tails)}"
        target, ok = ("p99 ≤ 1.7 of bare", ratio <= TIMES_BARE) if name == "cronq" else ("", None)
        yield Row(measure, name, value, ratio, target, ok)
    yield Row(
        measure,
        "cronq: order and loss",
        orders[-1],
        None,
        "by priority, none lost",
        not any(order != "in order, none lost" for order in orders),
    )


def _order(started: c.Started, count: int) -> str:
    """Say whether each job ran once, and whether a lower priority was claimed before a higher one."""
    numbers = [stamp.number for stamp in started.stamps]
    lost, doubled = count - len(set(numbers)), len(numbers) - len(set(numbers))
    if lost or doubled:
        return f"{lost} lost, {doubled} doubled"
    database = sqlite3.connect(place_in(started.folder).database)
    claims = database.execute(
        "SELECT a.claimed_at, r.priority FROM run r JOIN attempt a ON a.run_id = r.id ORDER BY 1"
    ).fetchall()
    database.close()
    best_later, inversions = 0, 0
    instants: dict[int, list[int]] = {}
    for claimed_at, priority in claims:
        instants.setdefault(claimed_at, []).append(priority)
    for priorities in reversed(instants.values()):
        inversions += sum(priority < best_later for priority in priorities)
        best_later = max(best_later, *priorities)
    return f"{inversions} claimed before a higher priority" if inversions else "in order, none lost"
