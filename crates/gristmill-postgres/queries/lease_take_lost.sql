-- Index: none for finding them, as leases are few; the primary keys of worker, task and live.
WITH lost AS MATERIALIZED (
  SELECT l.ctid AS at FROM {s}.lease l
  WHERE NOT EXISTS (SELECT FROM {s}.worker w WHERE w.key = l.worker AND w.expires_at > {now})
  ORDER BY l.seq LIMIT $2 FOR UPDATE OF l SKIP LOCKED
), gone AS (
  DELETE FROM {s}.lease WHERE ctid = ANY (ARRAY(SELECT at FROM lost)) RETURNING *
)
SELECT g.id, g.seq, g.retention, g.claimed_at, g.attempt, g.claim_no, g.crashes, g.started, g.cancel, g.noted,
       w.name, v.logs, v.progress,
       t.queue, t.kind, t.priority, t.max_attempts, t.max_crashes, t.ack, t.expires_at, {now}, g.fence
FROM gone g
LEFT JOIN LATERAL (SELECT * FROM {s}.task t WHERE t.id = g.id OFFSET 0) t ON true
LEFT JOIN LATERAL (SELECT name FROM {s}.worker w WHERE w.key = g.worker OFFSET 0) w ON true
LEFT JOIN LATERAL (SELECT logs, progress FROM {s}.live v WHERE v.id = g.id AND g.noted OFFSET 0) v ON true
ORDER BY g.seq
