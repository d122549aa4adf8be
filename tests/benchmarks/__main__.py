"""All measures, in one table: ``python -m tests.benchmarks [--quick] [--only NAME…] [--peers [FOLDER]]``.

Each contestant does the same work in the same run, in interleaved rounds: the ratios are what counts, because
the rates of a shared machine move from one run to the next.
"""

from __future__ import annotations

import argparse
import platform
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks import deciding, herd, latency, output, pages, parts, resting, sustained
from tests.benchmarks.contestants import make_peers
from tests.benchmarks.figures import HEADER, Row, line
from tests.benchmarks.lab import Lab, Skipped

MEASURES: dict[str, Callable[[Lab], Iterator[Row]]] = {
    "lag": latency.measure_lag,
    "herd": herd.measure_thousand,
    "large-herd": herd.measure_ten_thousand,
    "commands": sustained.measure_commands,
    "callables": sustained.measure_callables,
    "doorbell": latency.measure_doorbell,
    "output": output.measure_output,
    "idle": resting.measure_idle,
    "long": resting.measure_long_jobs,
    "fires": deciding.measure_fires,
    "catch-up": deciding.measure_catch_up,
    "start-up": pages.measure_start_up,
    "pages": pages.measure_pages,
    "apply": pages.measure_apply,
    "prune": pages.measure_prune,
    "pool": parts.measure_pool,
    "schedules": parts.measure_schedules,
}


def main() -> None:
    """Run what was asked for, and print each line when it is known."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--quick", action="store_true", help="smaller and fewer: a few minutes instead of an hour"
    )
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES), metavar="NAME",
                        help=", ".join(MEASURES))  # fmt: skip
    parser.add_argument(
        "--peers",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="install huey and APScheduler into a virtual environment, kept in FOLDER or thrown away",
    )
    parser.add_argument(
        "--folder",
        metavar="FOLDER",
        help="where stores are put meanwhile; in memory (/dev/shm) syncing costs nothing",
    )
    options = parser.parse_args()
    notes: list[str] = []
    with tempfile.TemporaryDirectory(
        prefix="cronq-bench-", dir=options.folder, ignore_cleanup_errors=True
    ) as name:
        folder = Path(name).resolve()
        peers = None
        if options.peers is not None:
            peers = make_peers(Path(options.peers or folder / "peers").resolve())
        lab = Lab(folder, options.quick, peers, notes.append)
        print(
            f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, Linux {platform.release()}"
        )
        print(HEADER, flush=True)
        for measure in options.only:
            began = time.monotonic()
            try:
                for row in MEASURES[measure](lab):
                    print(line(row), flush=True)
            except Skipped as error:
                notes.append(f"{measure} left out: {error}")
            print(f"{'':<34} ({measure} took {time.monotonic() - began:.0f} s)", flush=True)
    for note in dict.fromkeys(notes):
        print(f"note: {note}")


if __name__ == "__main__":
    main()
