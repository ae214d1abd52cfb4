-- Index: the primary keys of lease, task and worker. By id as in lease_take.
-- What has a flag that only newer versions know is left to them.
WITH hit AS MATERIALIZED (
  SELECT id FROM {s}.lease WHERE id = ANY($2) AND flags & {unknown} = 0 ORDER BY id FOR UPDATE
), gone AS (
  DELETE FROM {s}.lease WHERE id = ANY (ARRAY(SELECT id FROM hit)) RETURNING *
)
SELECT g.id, g.seq, g.retention, g.claimed_at, g.attempt, g.claim_no, g.crashes, g.started, g.cancel, g.noted,
       w.name, t.queue, t.kind, t.priority, t.max_attempts, t.max_crashes, t.ack, t.expires_at, {now}, g.fence, g.flags
FROM gone g
LEFT JOIN LATERAL (SELECT * FROM {s}.task t WHERE t.id = g.id OFFSET 0) t ON true
LEFT JOIN LATERAL (SELECT name FROM {s}.worker w WHERE w.key = g.worker OFFSET 0) w ON true
