"""The wire: how a node hears that a run of its queues may be claimed, without asking for it again and again.

::

    PostgreSQL                      child process                  the node's loop
    ┌──────────────────────┐ fetch ┌──────────────────────┐  GOT  ┌──────────────────────┐
    │ run becomes queued   │──────▶│ Procrastinate worker │──────▶│ Receiver             │
    │  └ trigger: message  │       │  └ one task: hold it │       │  └ permits in hand   │
    │ message: todo, doing │◀──────│     until it is done │◀──────│     ▲ claim, release │
    └──────────────────────┘ delete└──────────────────────┘  DONE └──────────────────────┘

A message is a permit to claim one run from its queue: it says that there is something to do, never what. The
ledger alone says that. So a lost message costs time, until the sweep has put another one, and one too many
costs a claim that finds nothing.

Only `child` and `schema` import Procrastinate, when they are used.
"""
