"""The cursor as text: what a cache, an artifact or a branch keeps between two ticks."""
