"""How soon: from the due time, or a command, to a process that starts; from `cancel` to its death."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from cronq.model import SECOND
from tests.benchmarks.figures import Row, ms, quantile
from tests.benchmarks.filling import Planned, argv, instant
from tests.benchmarks.lab import Lab, read_stamps
from tests.benchmarks.postgres.ledger import Ledger, Node, due_in, stamping
from tests.benchmarks.program import BOUND_S, wait_for
from tests.crash.program import descendants
from tests.postgres.server import Server

RECORD = 16
EVERY_S = 0.31
HERD = 1_000


def measure_lag(lab: Lab, server: Server) -> Iterator[Row]:
    """Jobs that fall due one after another, on a node that does nothing else."""
    ledger = Ledger(server, lab.new_folder("lag"))
    try:
        count, stamp, stamps = lab.pick(40, 200), lab.program("stamp"), ledger.folder / "stamps"
        with ledger.node("run", "--workers", "4"):
            first = due_in(2.0)
            dues = [first + round(number * EVERY_S * SECOND) for number in range(count)]
            ledger.fill(
                [
                    Planned(stamping(stamp, stamps, str(number), schedule=instant(due)), due)
                    for number, due in enumerate(dues)
                ]
            )
            wait_for(stamps, count * RECORD)
        late = [stamp.at_s - dues[stamp.number] / SECOND for stamp in read_stamps(stamps)]
        yield Row("due to start, idle", "1 node", _quantiles(late))
    finally:
        ledger.close()


def measure_orders(lab: Lab, server: Server) -> Iterator[Row]:
    """`cronq trigger` and `cronq cancel`, from their end on; less than nothing: it came before."""
    ledger = Ledger(server, lab.new_folder("orders"))
    try:
        stamps = ledger.folder / "stamps"
        ledger.fill([Planned(stamping(lab.program("stamp"), stamps)), Planned(argv("/bin/sleep", "1000"))])
        started, died = [], []
        with ledger.node("run", "--workers", "4", "--output", "none") as node:
            for number in range(1, lab.pick(10, 40) + 1):
                ledger("trigger", "job-1")
                returned = time.time()
                _wait_soon(lambda n=number: stamps.exists() and stamps.stat().st_size >= n * RECORD)
                started.append(read_stamps(stamps)[-1].at_s - returned)
                ledger("trigger", "job-2")
                _wait_soon(lambda: _sleepers(node))
                time.sleep(0.3)
                ledger("cancel", str(ledger.one("SELECT max(id) FROM run WHERE state = 'running'")))
                returned = time.time()
                _wait_soon(lambda: not _sleepers(node))
                died.append(time.time() - returned)
        yield Row("`trigger` to start", "1 node", _quantiles(started))
        yield Row("`cancel` to dead", "1 node", _quantiles(died))
    finally:
        ledger.close()


def measure_herd(lab: Lab, server: Server) -> Iterator[Row]:
    """Many jobs at one instant."""
    for nodes in (1, 4):
        ledger = Ledger(server, lab.new_folder("herd"))
        try:
            stamp, stamps = lab.program("stamp"), ledger.folder / "stamps"
            with ledger.nodes(nodes, "run", "--workers", "4", "--output", "none"):
                due = due_in(4.0)
                ledger.fill(
                    [
                        Planned(stamping(stamp, stamps, str(number), schedule=instant(due)), due)
                        for number in range(HERD)
                    ]
                )
                wait_for(stamps, HERD * RECORD)
                ledger.await_done()
            late = [stamp.at_s - due / SECOND for stamp in read_stamps(stamps)]
            numbers = {stamp.number for stamp in read_stamps(stamps)}
            ok = len(late) == HERD == len(numbers)
            yield Row(
                f"{HERD:,} at one instant", f"{nodes} nodes × 4", _quantiles(late), None, "all once", ok
            )
        finally:
            ledger.close()


def _quantiles(values: list[float]) -> str:
    return f"p50 {ms(quantile(values, 0.5))}, p99 {ms(quantile(values, 0.99))}"


def _sleepers(node: Node) -> list[int]:
    found = []
    for pid in descendants(node.pid):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if words.startswith(b"/bin/sleep\0"):
            found.append(pid)
    return found


def _wait_soon(condition: object) -> None:
    deadline = time.monotonic() + BOUND_S
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise TimeoutError("it never came")
        time.sleep(0.001)
