-- What needs Procrastinate's tables, which are made before this. A message says that a run waits in a queue.

CREATE FUNCTION cronq_send(run_id bigint, job_id bigint, priority bigint) RETURNS bigint
LANGUAGE sql VOLATILE SET search_path FROM CURRENT AS $$
    SELECT {put}
$$;

-- In the transaction that queues a run, whoever does it; later if it is to wait first.
CREATE FUNCTION cronq_queued() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.available_at <= cronq_now() THEN
        NEW.wire := cronq_send(NEW.id, NEW.job_id, NEW.priority);
    ELSE
        NEW.wire := NULL;
        PERFORM pg_notify('cronq_' || TG_TABLE_SCHEMA, 'due');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER run_queued BEFORE INSERT ON run FOR EACH ROW
    WHEN (NEW.state = 'queued') EXECUTE FUNCTION cronq_queued();
CREATE TRIGGER run_requeued BEFORE UPDATE OF state, available_at ON run FOR EACH ROW
    WHEN (NEW.state = 'queued' AND (OLD.state = 'running' OR NEW.available_at <> OLD.available_at))
    EXECUTE FUNCTION cronq_queued();

-- What waited for the end of a pause, or goes to other workers now: its messages are gone, or in the old queue.
CREATE FUNCTION cronq_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE run SET wire = cronq_send(id, job_id, priority)
    WHERE job_id = NEW.id AND state = 'queued' AND available_at <= cronq_now();
    RETURN NULL;
END $$;
CREATE TRIGGER job_moved AFTER UPDATE OF paused_at, queue ON job FOR EACH ROW
    WHEN (NEW.removed_at IS NULL
        AND (NEW.queue IS DISTINCT FROM OLD.queue OR (NEW.paused_at IS NULL AND OLD.paused_at IS NOT NULL)))
    EXECUTE FUNCTION cronq_moved();
