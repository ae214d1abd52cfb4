-- Index: the primary keys of lease, task and worker.
-- Locked first, in the order of the ids. Then by id and not by place: a lease that somebody changed while this waited for it has
-- a new place, which this statement, being older, does not see.
WITH hit AS MATERIALIZED (
  SELECT x.id FROM unnest($2::uuid[], $3::uuid[]) AS x(id, fence)
  CROSS JOIN LATERAL (SELECT FROM {s}.lease l WHERE l.id = x.id AND l.fence = x.fence OFFSET 0 FOR UPDATE) l
), gone AS (
  DELETE FROM {s}.lease WHERE id = ANY (ARRAY(SELECT id FROM hit)) RETURNING *
)
SELECT g.id, g.seq, g.retention, g.claimed_at, g.attempt, g.claim_no, g.crashes, g.started, g.cancel, g.noted,
       w.name, t.queue, t.kind, t.priority, t.max_attempts, t.max_crashes, t.ack, t.expires_at, {now}, g.fence, g.flags
FROM gone g
LEFT JOIN LATERAL (SELECT * FROM {s}.task t WHERE t.id = g.id OFFSET 0) t ON true
LEFT JOIN LATERAL (SELECT name FROM {s}.worker w WHERE w.key = g.worker OFFSET 0) w ON true
