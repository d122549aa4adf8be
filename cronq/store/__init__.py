"""The ledger: one interface, its implementations, and the rules by which a database is found and trusted.

`open_store` is the only way in for the rest of cronq.
"""

from cronq.store.base import (
    CalendarText,
    Copy,
    DueJob,
    Held,
    JobChange,
    JobHistory,
    JobOverview,
    LockState,
    LockUser,
    NewJob,
    RunDetail,
    RunQuery,
    Store,
    Totals,
)
from cronq.store.location import Place, find_place
from cronq.store.opening import open_store

__all__ = [
    "CalendarText",
    "Copy",
    "DueJob",
    "Held",
    "JobChange",
    "JobHistory",
    "JobOverview",
    "LockState",
    "LockUser",
    "NewJob",
    "Place",
    "RunDetail",
    "RunQuery",
    "Store",
    "Totals",
    "find_place",
    "open_store",
]
