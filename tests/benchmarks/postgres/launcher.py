"""A scheduler that launches what is due, and executes nothing: `launcher URL START_AT`, until all is done.

It reads, decides and writes as `cronq.scheduler` does, and prints how many it launched and until when.
"""

from __future__ import annotations

import sys
import time
from typing import Any, cast

from cronq.scheduler import Scheduler
from cronq.store.postgres.address import parse_address
from cronq.store.postgres.location import server_place
from cronq.store.postgres.store import open_postgres
from cronq.waiting import SystemClock


def main(url: str, start_at: str) -> None:
    """Launch."""
    address = parse_address(url, "benchmark")
    store = open_postgres(address, server_place(url, "benchmark", {}))
    scheduler = Scheduler(store, cast("Any", None), SystemClock(), boot_id="none")
    time.sleep(max(0.0, float(start_at) - time.time()))
    now = time.time_ns() // 1000
    launched, ended = 0, time.time()
    while store.due_jobs(now, limit=1):
        with store.together():
            found = scheduler._fire(now)
        if found:
            launched, ended = launched + len(found), time.time()
    print(launched, ended)
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
