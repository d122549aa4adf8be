"""The real scheduler on a virtual clock: time jumps from event to event, and processes are only played.

For `cronq simulate`, for people's own tests (the pytest plugin), and for cronq's.
"""
