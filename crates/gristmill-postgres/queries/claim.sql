-- Index: the primary key of ready, one range for each priority; the primary keys of worker, queue, task.
-- `own` locks the worker's row, which a repetition of this claim waits for; only if there is something to take, as a lock is
-- a write. In `gone` the places of the rows, which are locked, spare the search for each.
WITH alive AS MATERIALIZED (
  SELECT q.paused FROM {s}.worker w CROSS JOIN {s}.queue q
  WHERE w.key = $2 AND w.epoch = $3 AND w.expires_at > {now} AND q.id = $4
), head AS MATERIALIZED (
  SELECT r.at
  FROM alive a CROSS JOIN unnest($6::bigint[]) WITH ORDINALITY AS f(floor, place)
  CROSS JOIN LATERAL (
    SELECT ctid AS at FROM {s}.ready
    WHERE queue = $4 AND priority = (f.place - 1)::smallint AND seq >= f.floor AND kind = ANY($5) AND flags & {unknown} = 0
    ORDER BY seq LIMIT $7 FOR UPDATE SKIP LOCKED
  ) r
  WHERE NOT a.paused
  LIMIT $7
), own AS MATERIALIZED (
  SELECT w.key FROM {s}.worker w
  WHERE w.key = $2 AND w.epoch = $3 AND w.expires_at > {now} AND EXISTS (SELECT FROM head)
  FOR KEY SHARE
), gone AS (
  DELETE FROM {s}.ready WHERE ctid = ANY (ARRAY(SELECT h.at FROM head h CROSS JOIN own))
  RETURNING id, seq, kind, attempt, claim_no, crashes, priority, expires_at, flags
), body AS MATERIALIZED (
  SELECT g.*, coalesce(g.expires_at <= {now}, false) AS late,
         t.found, t.arrival, t.ack, t.retention, t.max_attempts, t.created_at, t.args, t.meta
  FROM gone g LEFT JOIN LATERAL (
    SELECT true AS found, seq AS arrival, ack, retention, max_attempts, created_at, args, meta FROM {s}.task t WHERE t.id = g.id OFFSET 0
  ) t ON true
), taken AS (
  INSERT INTO {s}.lease(id, fence, seq, worker, retention, claimed_at, queue, attempt, claim_no, crashes, started, flags)
  SELECT id, $8, coalesce(arrival, seq), $2, coalesce(retention, -1), {now}, $4, attempt + 1, claim_no + 1, crashes,
         crashes = 0 AND ack IS DISTINCT FROM 1, flags & ~{moved}
  FROM body WHERE NOT late
), expired AS (
  INSERT INTO {s}.outcome(id, seq, finished_at, keep_until, claim_no, attempt, crashes, state, ended, error)
  SELECT id, arrival, {now}, {keep}, claim_no + 1, attempt, crashes, 7, 4, $9
  FROM body WHERE late AND found
)
SELECT b.id, b.seq, b.kind, b.attempt + 1, b.claim_no + 1, b.crashes, b.priority, b.late,
       b.ack, b.retention, b.max_attempts, b.created_at, b.args, b.meta, coalesce(b.arrival, b.seq),
       CASE WHEN NOT b.late THEN b.expires_at - {now} END
FROM alive LEFT JOIN body b ON true
