"""Sustained rates: how many no-op commands, and Python callables, a second from a long queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.benchmarks import contestants as c
from tests.benchmarks.figures import Row, interleaved, median, per_second
from tests.benchmarks.lab import Lab, Skipped, rate_of

COMMANDS: dict[str, c.Ask] = {
    "bare loop in C": c.bare_backlog,
    "cronq": c.cronq_backlog,
    "huey, SQLite": c.peer("huey_jobs", "commands", "file"),
    "APScheduler, memory": c.peer("apscheduler_jobs", "commands", "memory"),
    "APScheduler, SQLite": c.peer("apscheduler_jobs", "commands", "file"),
    "task-spooler": c.spooler_backlog,
}
CALLABLES: dict[str, c.Ask] = {
    "cronq": c.cronq_callables,
    "huey, SQLite": c.peer("huey_jobs", "callables", "file"),
    "APScheduler, memory": c.peer("apscheduler_jobs", "callables", "memory"),
    "APScheduler, SQLite": c.peer("apscheduler_jobs", "callables", "file"),
}
SHARE_OF_BARE = 0.65
CALLABLES_PER_S = 8_000


def measure_commands(lab: Lab) -> Iterator[Row]:
    """No-op commands, 4 workers."""
    rates = _rates(lab, "sustained", COMMANDS, lab.pick(800, 4_000), 4)
    bare = median(rates["bare loop in C"])
    rival = max(
        (median(rates[name]) for name in ("huey, SQLite", "task-spooler") if name in rates), default=0.0
    )
    for name, found in rates.items():
        ratio = median(found) / bare
        target = f"≥ {SHARE_OF_BARE} of bare, ahead of huey and tsp" if name == "cronq" else ""
        ok = ratio >= SHARE_OF_BARE and median(found) > rival if name == "cronq" else None
        yield Row("no-op commands, 4 workers", name, per_second(found), ratio, target, ok)


def measure_callables(lab: Lab) -> Iterator[Row]:
    """Python callables, 2 workers."""
    rates = _rates(lab, "callables", CALLABLES, lab.pick(4_000, 20_000), 2)
    base = median(rates["huey, SQLite"]) if "huey, SQLite" in rates else None
    for name, found in rates.items():
        ratio = None if base is None else median(found) / base
        if name != "cronq":
            yield Row("callables, 2 workers", name, per_second(found), ratio)
        elif base is None:
            target, ok = f"≥ {CALLABLES_PER_S:,}/s", median(found) >= CALLABLES_PER_S
            yield Row("callables, 2 workers", name, per_second(found), None, target, ok)
        else:
            # 8,000 where huey does 6,000
            ok = median(found) >= base * CALLABLES_PER_S / 6_000
            yield Row("callables, 2 workers", name, per_second(found), ratio, "≥ 1.33 of huey", ok)


def _rates(lab: Lab, measure: str, asked: dict[str, c.Ask], count: int, slots: int) -> dict[str, list[float]]:
    absent: dict[str, str] = {}

    def once(name: str, ask: c.Ask) -> Callable[[], list[float]]:
        def rate() -> list[float]:
            if name in absent:
                return []
            few = 300 if ask is c.spooler_backlog else count
            try:
                started = ask(lab, min(count, few), slots)
            except Skipped as error:
                absent[name] = str(error)
                lab.note(f"{measure}: {name} left out: {error}")
                return []
            return [rate_of(started.stamps)]

        return rate

    answers = interleaved(lab.rounds, {name: once(name, ask) for name, ask in asked.items()})
    return {
        name: [value for found in rounds for value in found]
        for name, rounds in answers.items()
        if any(rounds)
    }
