"""Nodes on PostgreSQL: ``python -m tests.benchmarks.postgres [--quick] [--only NAME…]``.

On a private server whose disk is waited for. As in `tests.benchmarks`, the ratios within one run are what
counts; nodes, commands and the server share one machine here.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg

from tests.benchmarks.figures import HEADER, Row, line
from tests.benchmarks.lab import Lab, Skipped
from tests.benchmarks.postgres import costs, latency, throughput
from tests.postgres.server import Server, running_server

MEASURES: dict[str, Callable[[Lab, Server], Iterator[Row]]] = {
    "launches": throughput.measure_launches,
    "claims": throughput.measure_claims,
    "runs": throughput.measure_runs,
    "lag": latency.measure_lag,
    "orders": latency.measure_orders,
    "herd": latency.measure_herd,
    "fires": costs.measure_fires,
    "rest": costs.measure_rest,
}


def main() -> None:
    """Run what was asked for, and print each line when it is known."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.postgres",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="smaller and fewer")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES), metavar="NAME",
                        help=", ".join(MEASURES))  # fmt: skip
    options = parser.parse_args()
    notes: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="cronq-bench-", ignore_cleanup_errors=True) as name,
        running_server(syncs=True) as server,
    ):
        lab = Lab(Path(name).resolve(), options.quick, None, notes.append)
        with psycopg.connect(server.url) as database:
            version = database.info.parameter_status("server_version")
        print(f"Python {platform.python_version()}, PostgreSQL {version}, {os.cpu_count()} processors")
        print(HEADER, flush=True)
        for measure in options.only:
            began = time.monotonic()
            try:
                for row in MEASURES[measure](lab, server):
                    print(line(row), flush=True)
            except Skipped as error:
                notes.append(f"{measure} left out: {error}")
            print(f"{'':<34} ({measure} took {time.monotonic() - began:.0f} s)", flush=True)
    for note in dict.fromkeys(notes):
        print(f"note: {note}")


if __name__ == "__main__":
    main()
