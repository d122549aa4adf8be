"""A scheduler reduced to its pool: claims what is queued, and tells the test what happens, a line each.

Run as `python -m tests.crash.worker_scheduler DATABASE [--deaf] [--trust=FILE]`. It records starts and ends
as the real one does, unless it is deaf. A line `adopt` on its standard input makes it look after the running
runs of an earlier one; `stop` and `kill` stop them; `leave` ends it in order.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from cronq import clock
from cronq.doorbell import Doorbell
from cronq.model import AttemptEnd, AttemptKey, AttemptStart
from cronq.store import Place, open_store
from cronq.waiting import SystemClock
from cronq.worker import kernel
from cronq.worker.pool import Pool


def place_of(database: str) -> Place:
    path = Path(database)
    return Place(path, path.with_name("logs"), "test")


def say(word: str, **values: object) -> None:
    print(json.dumps({"event": word, **values}), flush=True)


def main() -> None:
    place = place_of(sys.argv[1])
    records = "--deaf" not in sys.argv
    store = open_store(place)
    waiting = SystemClock()
    workers: dict[AttemptKey, str] = {}
    named = [word.removeprefix("--trust=") for word in sys.argv if word.startswith("--trust=")]
    trust = Path(named[0]) if named else None
    pool = Pool(waiting, place, size=3, boot_id=kernel.boot_id(), trust=trust)
    bell = Doorbell(place.bell)
    pool.start()
    waiting.watch(0)
    waiting.watch(bell.fileno())
    say("up", pid=os.getpid())
    while True:
        for report in pool.poll():
            if isinstance(report, AttemptStart):
                if records:
                    store.record([report], [])
                say("started", pid=report.pid, workers=pool.pids(), worker=workers[report.key])
            elif isinstance(report, AttemptEnd):
                runs = store.record([], [report]) if records else []
                if records:
                    pool.acknowledge([report.key])
                say("ended", outcome=report.outcome, reason=report.reason, recorded=len(runs))
        if idle := pool.idle():
            for claim in store.claim(idle[:1], kernel.boot_id(), now=clock.now_us()):
                workers[claim.key] = claim.worker
                pool.assign(claim)
        deadline = pool.deadline()
        until = clock.now_us() + 50_000
        if deadline is not None:
            until = min(until, clock.now_us() + round((deadline - clock.monotonic()) * 1e6))
        ready = waiting.wait(until)
        if bell.fileno() in ready and bell.answer():
            say("rang")
        if 0 in ready:
            obey(sys.stdin.readline().strip(), pool, place)


def obey(order: str, pool: Pool, place: Place) -> None:
    store = open_store(place)
    for held in store.held():
        if order == "adopt":
            say("adopted", alive=pool.adopt(held))
        elif order == "stop":
            pool.stop(held.claim.key, "asked")
        elif order == "kill":
            pool.kill(held.claim.key)
    store.close()
    if order in {"", "leave"}:
        pool.close()
        sys.exit(0)


if __name__ == "__main__":
    main()
