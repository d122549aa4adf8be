"""What the fork server imports once, so that a worker begins with it, and shares its memory.

Imported by the fork server alone, and last: what is there by then is set aside from garbage collection, whose
walk through all objects would copy their pages for each worker (gc.freeze).
"""

from __future__ import annotations

import ctypes
import encodings.ascii
import gc
import multiprocessing.popen_forkserver

import cronq.store
import cronq.worker.launching
import cronq.worker.process

__all__ = ["cronq", "ctypes", "encodings", "multiprocessing"]

# As `cronq.worker.kernel` does for each worker: the library is opened, and its symbol table read, here.
ctypes.CDLL(None)
gc.collect()
gc.freeze()
