"""Executing attempts: worker processes, the pool that owns them, and the locks by which the kernel answers.

::

    scheduler process                       worker process (own session, sub-reaper)
    ┌──────────────────┐  Execute, Stop,    ┌───────────────────────┐  exec   ┌──────────────────────┐
    │ Pool ── Slot ────┼──Acknowledged────▶ │ Worker ── attempt ────┼───────▶ │ command, own session │
    │   ├─ adoption    │ ◀─Ready, Started,──┤   │                   │ wait4   │ output → its file    │
    │   └─ reaper      │   Ended            │   └─ end alone ───────┼──▶ store└──────────┬───────────┘
    └──────────────────┘                    └──────────┬────────────┘                    │
             flocks: does it live?          <worker>.worker                  <run>.<attempt>.lock

If the scheduler dies, the worker finishes its attempt and writes the end itself. If the worker dies, the
scheduler, as the next sub-reaper, inherits the command and records its true exit status. If both die, the
lock that the command inherited still says whether it lives.
"""
