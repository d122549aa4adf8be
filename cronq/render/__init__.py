"""Pictures and words from (data, now, width, ascii): pure functions, so snapshots of them are exact.

Nothing here reads the store, the clock or the environment; the command line hands in what is shown.
"""
