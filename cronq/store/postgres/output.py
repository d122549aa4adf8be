"""What attempts printed, as the server keeps it."""

from __future__ import annotations

import os
import tempfile

from cronq.model import AttemptKey
from cronq.store.postgres.connection import Connection

# Primary key: a page after a position.
_NEXT = """
SELECT position, data FROM output WHERE run_id = %s AND attempt = %s AND position > %s
ORDER BY position LIMIT 16
"""


def kept_output(connection: Connection, key: AttemptKey) -> int | None:
    """Return a descriptor to read what an attempt printed; None: the server has nothing of it.

    Raises:
        StoreError: The server cannot be asked.
        OSError: There is no room for a copy.
    """
    page = connection.plain(_NEXT, (*key, -1)).fetchall()
    if not page:
        return None
    # Nobody else ever sees the copy: it has no name.
    with tempfile.TemporaryFile(buffering=0) as file:
        while page:
            for _, data in page:
                file.write(data)
            page = connection.plain(_NEXT, (*key, page[-1][0])).fetchall()
        return os.dup(file.fileno())
