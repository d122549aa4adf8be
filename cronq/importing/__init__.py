"""From what other schedulers read to jobs: crontabs and systemd timers, with every difference told.

Pure: text in, jobs (as the tables of a `cronq.toml`), remarks and problems out. Nothing here looks at this
machine; what must be known of it, such as homes of users, is handed in.
"""
