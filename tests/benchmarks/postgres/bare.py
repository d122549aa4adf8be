"""The yardstick: a process that takes tasks from a table with SKIP LOCKED, and nothing else.

usage: bare.py URL START_AT STAMP FILE
"""

from __future__ import annotations

import os
import sys
import time

import psycopg

TABLE = "CREATE TABLE task (id bigint PRIMARY KEY, state int NOT NULL DEFAULT 0)"
INDEX = "CREATE INDEX task_open ON task (id) WHERE state = 0"


def main(url: str, start_at: str, stamp: str, file: str) -> None:
    """Work from an instant on until nothing is left."""
    with psycopg.connect(url) as database:
        database.execute("SELECT 1")
        database.commit()
        time.sleep(max(0.0, float(start_at) - time.time()))
        while True:
            row = database.execute(
                "SELECT id FROM task WHERE state = 0 ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1"
            ).fetchone()
            if row is None:
                return
            database.execute("UPDATE task SET state = 1 WHERE id = %s", row)
            database.commit()
            pid = os.posix_spawn(stamp, [stamp, file, str(row[0])], os.environ)
            os.waitpid(pid, 0)
            database.execute("UPDATE task SET state = 2 WHERE id = %s", row)
            database.commit()


if __name__ == "__main__":
    main(*sys.argv[1:])
