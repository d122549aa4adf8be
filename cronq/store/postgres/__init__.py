"""The ledger in PostgreSQL, for more than one machine."""
