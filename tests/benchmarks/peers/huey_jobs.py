"""huey with its SQLite storage as a contestant; executed by the Python of the peers.

usage: KIND STORE COUNT SLOTS LEAD_S STAMP FILE: as `apscheduler_jobs`; STORE is a file. Its consumer has the
defaults: threads as workers, and a look at the schedule each second.
"""

from __future__ import annotations

import logging
import os
import struct
import subprocess
import sys
import time
from datetime import UTC, datetime

from huey import SqliteHuey

KIND, STORE, STAMP, FILE = sys.argv[1], sys.argv[2], sys.argv[6], sys.argv[7]
COUNT, SLOTS, LEAD_S = int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
RECORD = 16
stamps = os.open(FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
huey = SqliteHuey(filename=STORE, utc=True)


def execute(number: int) -> None:
    subprocess.call([STAMP, FILE, str(number)])


def note(number: int) -> None:
    os.write(stamps, struct.pack("qq", time.time_ns(), number))


def main() -> None:
    logging.getLogger("huey").setLevel(logging.WARNING)
    task = huey.task()(execute if KIND == "commands" else note)
    due_s = time.time() + LEAD_S
    eta = datetime.fromtimestamp(due_s, UTC).replace(tzinfo=None) if LEAD_S else None
    for number in range(COUNT):
        if eta is None:
            task(number)
        else:
            task.schedule(args=(number,), eta=eta)
    if LEAD_S and time.time() - due_s > -0.2:
        sys.exit("the lead was too short")
    consumer = huey.create_consumer(workers=SLOTS, worker_type="thread", periodic=False)
    consumer.start()
    while os.fstat(stamps).st_size < COUNT * RECORD:
        time.sleep(0.02)
    print(due_s, flush=True)
    os._exit(0)


main()
