"""cronq: the cron that accounts for every due time."""

__version__ = "0.1.0"
