-- Index: none for finding them, as leases are few; the primary keys of lease, worker and task. By id as in lease_take.
WITH lost AS MATERIALIZED (
  SELECT l.id FROM {s}.lease l
  WHERE NOT EXISTS (SELECT FROM {s}.worker w WHERE w.key = l.worker AND NOT w.lost) AND l.flags & {unknown} = 0
  ORDER BY l.seq LIMIT $2 FOR UPDATE OF l SKIP LOCKED
), gone AS (
  DELETE FROM {s}.lease WHERE id = ANY (ARRAY(SELECT id FROM lost)) RETURNING *
)
SELECT g.id, g.seq, g.retention, g.claimed_at, g.attempt, g.claim_no, g.crashes, g.started, g.cancel, g.noted,
       w.name, t.queue, t.kind, t.priority, t.max_attempts, t.max_crashes, t.ack, t.expires_at, {now}, g.fence, g.flags
FROM gone g
LEFT JOIN LATERAL (SELECT * FROM {s}.task t WHERE t.id = g.id OFFSET 0) t ON true
LEFT JOIN LATERAL (SELECT name FROM {s}.worker w WHERE w.key = g.worker OFFSET 0) w ON true
ORDER BY g.seq
