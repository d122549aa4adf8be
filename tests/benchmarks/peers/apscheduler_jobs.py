"""APScheduler 3 as a contestant; executed by the Python of the peers.

usage: KIND STORE COUNT SLOTS LEAD_S STAMP FILE: COUNT jobs due LEAD_S after they were added (0: at once).
KIND: commands or callables. STORE: memory, or an SQLite file. Prints the instant at which they were due.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler

KIND, STORE, STAMP, FILE = sys.argv[1], sys.argv[2], sys.argv[6], sys.argv[7]
COUNT, SLOTS, LEAD_S = int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
RECORD = 16
stamps = os.open(FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def execute(number: int) -> None:
    subprocess.call([STAMP, FILE, str(number)])


def note(number: int) -> None:
    os.write(stamps, struct.pack("qq", time.time_ns(), number))


def main() -> None:
    store = MemoryJobStore() if STORE == "memory" else SQLAlchemyJobStore(f"sqlite:///{STORE}")
    scheduler = BackgroundScheduler(
        jobstores={"default": store}, executors={"default": ThreadPoolExecutor(SLOTS)}, timezone=UTC
    )
    due_s = time.time() + LEAD_S
    # Added while it is paused, as one that is restarted has them.
    scheduler.start(paused=True)
    for number in range(COUNT):
        scheduler.add_job(
            execute if KIND == "commands" else note,
            "date",
            run_date=datetime.fromtimestamp(due_s, UTC),
            args=(number,),
            misfire_grace_time=None,
        )
    late_s = time.time() - due_s
    if LEAD_S and late_s > -0.2:
        sys.exit(f"the lead was too short by {late_s:.1f} s")
    scheduler.resume()
    while os.fstat(stamps).st_size < COUNT * RECORD:
        time.sleep(0.02)
    print(due_s, flush=True)
    os._exit(0)


main()
