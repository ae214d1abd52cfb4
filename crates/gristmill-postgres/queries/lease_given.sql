-- Index: the primary keys of task and lease.
SELECT l.id, l.seq, t.kind, l.attempt, l.claim_no, l.crashes, t.priority, false,
       t.ack, l.retention, t.max_attempts, t.created_at, t.args, t.meta, l.seq,
       CASE WHEN l.attempt = 1 AND t.expires_at IS NOT NULL THEN greatest(t.expires_at, {now}) - {now} END, l.queue
FROM {s}.task t CROSS JOIN LATERAL (SELECT * FROM {s}.lease l WHERE l.id = t.id OFFSET 0) l
WHERE t.id = ANY($2)
ORDER BY t.priority, l.seq
