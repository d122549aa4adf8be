"""How many a second: launches, claims with their ends, and no-op commands from end to end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg

from cronq.model import AttemptEnd, Outcome
from tests.benchmarks.figures import Row, interleaved, median, per_second
from tests.benchmarks.filling import Planned, argv, instant
from tests.benchmarks.lab import ROOT, Lab, Skipped, rate_of, read_stamps
from tests.benchmarks.postgres import bare
from tests.benchmarks.postgres.ledger import Ledger, due_in, stamping
from tests.benchmarks.program import BOUND_S, wait_for, wait_until
from tests.postgres.server import Server

HERE = Path(__file__).parent
RECORD = 16
SLOTS = 4
WARMING = 200
LEAD_S = 3.0


def measure_launches(lab: Lab, server: Server) -> Iterator[Row]:
    """Jobs that are all due at once, each its own; as the loop does it, and nothing executes them."""
    count = lab.pick(3_000, 10_000)
    asked: dict[str, Callable[[], list[float]]] = {
        f"{number} schedulers": partial(_launch_rate, lab, server, count, number) for number in (1, 2)
    }
    rates = interleaved(lab.rounds, asked)
    base = median([rate for [rate] in rates["1 schedulers"]])
    for name, found in rates.items():
        values = [rate for [rate] in found]
        yield Row("launches, herd", name, per_second(values), median(values) / base, "(of one)")


def _launch_rate(lab: Lab, server: Server, count: int, schedulers: int) -> list[float]:
    ledger = Ledger(server, lab.new_folder("launch"))
    try:
        due = due_in(0)
        ledger.fill([Planned(argv("/bin/true", schedule=instant(due)), due)] * count)
        start = time.time() + LEAD_S
        words = [sys.executable, "-m", "tests.benchmarks.postgres.launcher", ledger.url, str(start)]
        processes = [
            subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(schedulers)
        ]
        said = [process.communicate(timeout=BOUND_S)[0].split() for process in processes]
        assert sum(int(number) for number, _ in said) == count
        return [count / (max(float(ended) for _, ended in said) - start)]
    finally:
        ledger.close()


def measure_claims(lab: Lab, server: Server) -> Iterator[Row]:
    """Claims and their ends by one process, so many in a transaction; nothing is started."""
    ledger = Ledger(server, lab.new_folder("claims"))
    store = ledger.opened()
    turns = lab.pick(40, 200)
    try:
        [job] = ledger.fill([Planned(argv("/bin/true"))])
        for at_once in (1, 4, 32):
            ledger.fill_queue(job, turns * at_once)
            taken = []
            for _ in range(turns):
                now = ledger.one("SELECT cronq_now()")
                began = time.perf_counter()
                claims = store.claim([f"w{number}" for number in range(at_once)], "boot", now=now)
                ends = [
                    AttemptEnd(claim.key, Outcome.SUCCESS, now + 2, started_at=now + 1, pid=1, exit_code=0)
                    for claim in claims
                ]
                store.record([], ends)
                taken.append(time.perf_counter() - began)
            value = f"{at_once / median(taken):,.0f}/s, {1000 * median(taken) / at_once:.2f} ms each"
            yield Row("claims and ends", f"{at_once} at a time", value)
    finally:
        store.close()
        ledger.close()


def measure_runs(lab: Lab, server: Server) -> Iterator[Row]:
    """No-op commands, from a row that waits to a row that is done."""
    count = lab.pick(600, 3_000)
    for nodes in (1, 2, 4):
        contestants: dict[str, Callable[[], list[float]]] = {
            f"SKIP LOCKED, {nodes} × 1": partial(_bare_rate, lab, server, count, nodes),
            f"SKIP LOCKED, {nodes} × {SLOTS}": partial(_bare_rate, lab, server, count, SLOTS * nodes),
            f"cronq worker, {nodes} × {SLOTS}": partial(_cronq_rate, lab, server, count, nodes),
            f"Procrastinate, {nodes} × {SLOTS}": partial(_alone_rate, lab, server, count // 2, nodes),
        }
        rates = interleaved(lab.pick(2, 5), contestants)
        base = median([rate for [rate] in rates[f"SKIP LOCKED, {nodes} × {SLOTS}"]])
        for name, found in rates.items():
            values = [rate for [rate] in found]
            yield Row(
                f"no-op commands, {nodes} nodes", name, per_second(values), median(values) / base,
                "(of SKIP LOCKED, as many slots)",
            )  # fmt: skip


def _cronq_rate(lab: Lab, server: Server, count: int, nodes: int) -> list[float]:
    ledger = Ledger(server, lab.new_folder("runs"))
    stamps = ledger.folder / "stamps"
    try:
        [job] = ledger.fill([Planned(stamping(lab.program("stamp"), stamps))])
        with ledger.nodes(nodes, "worker", "--slots", str(SLOTS), "--output", "none"):
            ledger.fill_queue(job, WARMING * nodes)
            ledger.await_done()
            stamps.unlink()
            ledger.fill_queue(job, count)
            wait_for(stamps, count * RECORD)
            ledger.await_done()
        return [rate_of(read_stamps(stamps))]
    finally:
        ledger.close()


def _bare_rate(lab: Lab, server: Server, count: int, processes: int) -> list[float]:
    folder, url = lab.new_folder("bare"), server.fresh_database()
    stamps = folder / "stamps"
    try:
        with psycopg.connect(url) as database:
            database.execute(bare.TABLE)
            database.execute(bare.INDEX)
            database.execute("INSERT INTO task SELECT generate_series(1, %s)", (count,))
        with psycopg.connect(url, autocommit=True) as database:
            database.execute("ANALYZE task")
        start = str(time.time() + 1.0 + 0.1 * processes)
        words = [sys.executable, str(HERE / "bare.py"), url, start, lab.program("stamp"), str(stamps)]
        for process in [subprocess.Popen(words) for _ in range(processes)]:
            if process.wait(BOUND_S):
                raise Skipped("the loop failed")
        return [rate_of(read_stamps(stamps))]
    finally:
        server.drop(url)


def _alone_rate(lab: Lab, server: Server, count: int, processes: int) -> list[float]:
    folder, url = lab.new_folder("alone"), server.fresh_database()
    stamps = folder / "stamps"
    script = str(HERE / "alone.py")

    def ask(*words: str) -> None:
        subprocess.run([sys.executable, script, *words], check=True, capture_output=True)

    try:
        ask("schema", url)
        words = [sys.executable, script, "work", url, str(SLOTS)]
        workers = [subprocess.Popen(words, stderr=subprocess.DEVNULL) for _ in range(processes)]
        try:
            with psycopg.connect(url, autocommit=True) as database:
                wait_until(
                    lambda: _one(database, "SELECT count(*) FROM procrastinate_workers") == processes, BOUND_S
                )
            ask("defer", url, str(count), lab.program("stamp"), str(stamps))
            wait_for(stamps, count * RECORD)
        finally:
            for process in workers:
                process.terminate()
            for process in workers:
                process.wait(BOUND_S)
        return [rate_of(read_stamps(stamps))]
    finally:
        server.drop(url)


def _one(database: psycopg.Connection, statement: str) -> int:
    row = database.execute(statement.encode()).fetchone()
    return 0 if row is None else int(row[0])
