-- Index: the primary keys of lease, task, worker and live.
WITH hit AS MATERIALIZED (
  SELECT x.*, l.at FROM unnest($2::uuid[], $3::uuid[]) AS x(id, fence)
  CROSS JOIN LATERAL (SELECT ctid AS at FROM {s}.lease l WHERE l.id = x.id AND l.fence = x.fence OFFSET 0 FOR UPDATE) l
), gone AS (
  DELETE FROM {s}.lease WHERE ctid = ANY (ARRAY(SELECT at FROM hit)) RETURNING *
)
SELECT g.id, g.seq, g.retention, g.claimed_at, g.attempt, g.claim_no, g.crashes, g.started, g.cancel, g.noted,
       w.name, v.logs, v.progress,
       t.queue, t.kind, t.priority, t.max_attempts, t.max_crashes, t.ack, t.expires_at, {now}, g.fence
FROM gone g
LEFT JOIN LATERAL (SELECT * FROM {s}.task t WHERE t.id = g.id OFFSET 0) t ON true
LEFT JOIN LATERAL (SELECT name FROM {s}.worker w WHERE w.key = g.worker OFFSET 0) w ON true
LEFT JOIN LATERAL (SELECT logs, progress FROM {s}.live v WHERE v.id = g.id AND g.noted OFFSET 0) v ON true
