-- Index: the primary keys of task and lease.
SELECT l.id, l.seq, t.kind, l.attempt, l.claim_no, l.crashes, t.priority, false,
       t.ack, l.retention, t.max_attempts, t.created_at, t.args, t.meta, l.seq,
       CASE WHEN l.attempt = 1 AND t.expires_at IS NOT NULL THEN greatest(t.expires_at, {now}) - {now} END, l.flags, l.queue
FROM {s}.task t CROSS JOIN LATERAL (
  -- Once more, as a lease may have been given to another since its id was read.
  SELECT * FROM {s}.lease l WHERE l.id = t.id AND l.worker = $3 AND l.fence = $4 OFFSET 0
) l
WHERE t.id = ANY($2)
ORDER BY t.priority, l.seq
