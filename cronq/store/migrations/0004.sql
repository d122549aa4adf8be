-- Several workers, each of which serves some of the queues.

-- Whose workers may execute it; copied from the definition, as max_running is. NULL: the queue `default`.
ALTER TABLE job ADD COLUMN queue TEXT;
