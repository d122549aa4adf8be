"""What one turn of the loop writes, in one statement for each kind of thing, however many there are of it.

A turn holds up all other writers, so what counts is how long it takes: a statement for each run would be
most of that. What is written, and what guards it, is as in `cronq.store.queries`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence

from cronq.errors import DefinitionUnreadable, InvariantError
from cronq.model import AttemptEnd, AttemptStart, Claim, Definition, Micros, Run, State
from cronq.plan import Launch
from cronq.store import queries, rows
from cronq.store.connection import transaction
from cronq.store.postgres.connection import Connection
from cronq.store.postgres.messages import WITHDRAWN
from cronq.store.sqlite_scheduler import SchedulerSide

# `queries.JOB_ADVANCE`. Primary key.
_ADVANCE = """
UPDATE job SET next_fire_at = given.next_fire_at
FROM json_to_recordset(%s) AS given(id bigint, revision bigint, seen bigint, next_fire_at bigint)
WHERE job.id = given.id AND job.revision = given.revision AND job.next_fire_at IS NOT DISTINCT FROM given.seen
    AND job.paused_at IS NULL AND job.removed_at IS NULL
RETURNING job.id
"""
# `queries.RUN_ADD`. Sorted, so that the numbers of runs are in the order of their fire times.
_ADD = """
INSERT INTO run (job_id, revision, trigger, trigger_key, logical_at, fire_at, last_fire_at, fire_count, state,
    outcome, reason, priority, queued_at, available_at, finished_at)
SELECT job_id, revision, trigger, trigger_key, logical_at, fire_at, last_fire_at, fire_count, state,
    outcome, reason, priority, now, available_at, finished_at
FROM json_to_recordset(%s) AS given(n bigint, job_id bigint, revision bigint, trigger text, trigger_key text,
    logical_at bigint, fire_at bigint, last_fire_at bigint, fire_count bigint, state text, outcome text,
    reason text, priority bigint, now bigint, available_at bigint, finished_at bigint)
ORDER BY n ON CONFLICT DO NOTHING RETURNING id, job_id, fire_at
"""

# `queries.RUN_CLAIM` and `queries.ATTEMPT_ADD`. The state guards it. A message is withdrawn if the permit has
# been used before: else there would be ever more messages than runs.
_CLAIM = f"""
WITH given AS MATERIALIZED (
    SELECT one.id, one.worker, one.again, run.wire
    FROM json_to_recordset(%(claims)s) AS one(id bigint, worker text, again boolean)
    JOIN run ON run.id = one.id),
claimed AS (
    UPDATE run SET state = 'running', attempt = attempt + 1, worker = given.worker, stop_reason = NULL
    FROM given WHERE run.id = given.id AND run.state = 'queued'
    RETURNING run.id, run.job_id, run.attempt, run.worker),
added AS (
    INSERT INTO attempt (run_id, attempt, worker, boot_id, claimed_at)
    SELECT id, attempt, worker, %(boot_id)s, %(now)s FROM claimed),
withdrawn AS ({WITHDRAWN.format(wires="SELECT wire FROM given WHERE again")})
SELECT id, (SELECT max(s.logical_at) FROM run s WHERE s.job_id = claimed.job_id AND s.outcome = 'success')
FROM claimed
"""
# `queries.DEFINITION_GET`. Primary keys.
_DEFINITIONS = """
SELECT d.job_id, d.revision, d.document, j.name
FROM json_to_recordset(%s) AS given(job_id bigint, revision bigint)
JOIN definition d ON d.job_id = given.job_id AND d.revision = given.revision JOIN job j ON j.id = d.job_id
"""

# `queries.RUN_START` and `queries.ATTEMPT_START`.
_START = """
WITH given AS MATERIALIZED (SELECT * FROM
    json_to_recordset(%s) AS one(run_id bigint, attempt bigint, started_at bigint, pid bigint)),
started AS (
    UPDATE run SET started_at = coalesce(run.started_at, given.started_at)
    FROM given WHERE run.id = given.run_id AND run.attempt = given.attempt AND run.state = 'running')
UPDATE attempt SET started_at = given.started_at, pid = given.pid
FROM given
WHERE attempt.run_id = given.run_id AND attempt.attempt = given.attempt AND attempt.outcome IS NULL
"""
# `queries.RUN_FINISH` and `queries.ATTEMPT_FINISH`.
_FINISH = f"""
WITH given AS MATERIALIZED (SELECT * FROM json_to_recordset(%s) AS one(
    run_id bigint, number bigint, outcome text, reason text, counts bigint, started_at bigint,
    finished_at bigint, pid bigint, exit_code bigint, signal bigint, duration_s double precision,
    user_s double precision, system_s double precision, max_rss bigint, output_bytes bigint)),
finished AS (
    UPDATE run SET state = 'done', outcome = given.outcome, reason = given.reason, worker = NULL,
        failures = failures + given.counts, started_at = coalesce(run.started_at, given.started_at),
        finished_at = given.finished_at
    FROM given WHERE run.id = given.run_id AND run.attempt = given.number AND run.state = 'running'
    RETURNING run.*),
written AS (
    UPDATE attempt a SET started_at = coalesce(a.started_at, given.started_at),
        pid = coalesce(a.pid, given.pid), finished_at = given.finished_at, outcome = given.outcome,
        reason = given.reason, exit_code = given.exit_code, signal = given.signal,
        duration_s = given.duration_s, user_s = given.user_s, system_s = given.system_s,
        max_rss = given.max_rss, output_bytes = given.output_bytes
    FROM given JOIN finished ON finished.id = given.run_id AND finished.attempt = given.number
    WHERE a.run_id = given.run_id AND a.attempt = given.number AND a.outcome IS NULL)
SELECT {queries.RUN_COLUMNS}, EXISTS (SELECT 1 FROM hold WHERE hold.run_id = r.id)
FROM finished r JOIN job j ON j.id = r.job_id
"""


class TurnSide(SchedulerSide):
    """What the scheduler writes in each turn.

    Attributes:
        fresh_permits: Tells how many of the next claims are each backed by a message that was not used for a
            claim before; None: nobody counts.
    """

    fresh_permits: Callable[[], int] | None = None
    _db: Connection  # type: ignore[assignment]

    def launch(self, launches: Sequence[Launch], *, now: Micros) -> list[Run]:
        """Insert the runs of each decision and move its watermark."""
        if len({launch.job.id for launch in launches}) < len(launches):
            return super().launch(launches, now=now)  # one after the other
        marks = [
            {
                "id": launch.job.id,
                "revision": launch.job.revision,
                "seen": launch.job.next_fire_at,
                "next_fire_at": launch.next_fire_at,
            }
            for launch in launches
        ]
        with transaction(self._db, self._path):  # type: ignore[arg-type]
            advanced = {job_id for (job_id,) in self._written(_ADVANCE, marks)}
            return self._insert_all([launch for launch in launches if launch.job.id in advanced], now)

    def _insert_all(self, launches: Sequence[Launch], now: Micros) -> list[Run]:
        values = [
            (launch, rows.run_values(job.id, job.revision, job.definition.priority, entry, now))
            for launch in launches
            for job in (launch.job,)
            for entry in launch.entries
        ]
        added = self._written(_ADD, [{"n": n, **given} for n, (_, given) in enumerate(values)])
        numbers = {(job_id, fire_at): run_id for run_id, job_id, fire_at in added}
        # No number: the fire time has a run already, from before a watermark was moved back.
        inserted = [
            (launch, rows.run_from_values(number, launch.job.name, given))
            for launch, given in values
            if (number := numbers.get((given["job_id"], given["fire_at"]))) is not None
        ]
        newest = {
            run.job_id: run.id for launch, run in inserted if launch.replaces and run.state is State.QUEUED
        }
        for job_id, run_id in newest.items():
            self._replace(job_id, run_id, now)
        return [run for _, run in inserted]

    def _claim_all(
        self, chosen: Sequence[tuple[Run, list[str]]], workers: Sequence[str], boot_id: str, now: Micros
    ) -> list[Claim]:
        if not chosen:
            return []
        fresh = len(chosen) if self.fresh_permits is None else self.fresh_permits()
        given = [
            {"id": run.id, "worker": worker, "again": place >= fresh}
            for place, ((run, _), worker) in enumerate(zip(chosen, workers, strict=False))
        ]
        definitions = self._definitions_of([run for run, _ in chosen])
        found = self._written(_CLAIM, given, boot_id=boot_id, now=now)
        if len(found) < len(chosen):
            raise InvariantError("a run that may start was not queued any more")
        successes: dict[int, Micros | None] = dict(found)
        claims = []
        for (queued, locks), worker, definition in zip(chosen, workers, definitions, strict=False):
            for name in locks:
                self._db.execute(queries.HOLD_ADD_RUN, (name, queued.id, queued.available_at, now))
            run = queued._replace(
                state=State.RUNNING, attempt=queued.attempt + 1, worker=worker, stop_reason=None
            )
            claims.append(Claim(run, definition, worker, now, successes[run.id]))
        return claims

    def _definitions_of(self, runs: Sequence[Run]) -> list[Definition]:
        unknown = {(run.job_id, run.revision) for run in runs} - self._definitions.keys()
        if len(unknown) > 1:
            wanted = [{"job_id": job_id, "revision": revision} for job_id, revision in unknown]
            for job_id, revision, document, name in self._written(_DEFINITIONS, wanted):
                with contextlib.suppress(DefinitionUnreadable):  # said of its run, below
                    self._keep_definition(job_id, revision, document, name)
        return [self._definition_of(run) for run in runs]

    def record(self, starts: Sequence[AttemptStart], ends: Sequence[AttemptEnd]) -> list[Run]:
        """Write what became of attempts."""
        ended = {end.key for end in ends if end.started_at is not None}
        begun = [
            {
                "run_id": start.key[0],
                "attempt": start.key[1],
                "started_at": start.started_at,
                "pid": start.pid,
            }
            for start in starts
            if start.key not in ended  # its end says the same
        ]
        with transaction(self._db, self._path):  # type: ignore[arg-type]
            if begun:
                self._db.plain(_START, (json.dumps(begun),))
            finished = self._finish_all([end for end in ends if end.retry_at is None])
            again = [self._finish(end) for end in ends if end.retry_at is not None]
        written = {(run.id, run.attempt): run for run in (*finished, *again) if run is not None}
        return [written[end.key] for end in ends if end.key in written]

    def _finish_all(self, ends: Sequence[AttemptEnd]) -> list[Run]:
        if not ends:
            return []
        found = self._written(_FINISH, [_values(end) for end in ends])
        for row in found:
            if row[rows.RUN_WIDTH]:
                self._db.execute(queries.HOLD_REMOVE_RUN, (row[0],))
        return [rows.run_from_row(row) for row in found]

    def _written(
        self, statement: str, given: Sequence[Mapping[str, object]], **more: object
    ) -> list[rows.Row]:
        text = json.dumps(given)
        return self._db.plain(statement, {"claims": text, **more} if more else (text,)).fetchall()


def _values(end: AttemptEnd) -> dict[str, object]:
    usage = end.usage
    return {
        "run_id": end.key[0],
        "number": end.key[1],
        "outcome": end.outcome,
        "reason": rows.storable(end.reason),
        "counts": int(end.counts),
        "started_at": end.started_at,
        "finished_at": end.finished_at,
        "pid": end.pid,
        "exit_code": end.exit_code,
        "signal": end.signal,
        "duration_s": usage.duration_s if usage else None,
        "user_s": usage.user_s if usage else None,
        "system_s": usage.system_s if usage else None,
        "max_rss": usage.max_rss if usage else None,
        "output_bytes": end.output_bytes,
    }
