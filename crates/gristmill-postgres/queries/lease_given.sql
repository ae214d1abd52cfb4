-- Index: none on lease, as leases are few; the primary key of task.
SELECT l.id, l.seq, t.kind, l.attempt, l.claim_no, l.crashes, t.priority, false,
       t.ack, l.retention, t.max_attempts, t.created_at, t.args, t.meta, l.seq,
       CASE WHEN l.attempt = 1 AND t.expires_at IS NOT NULL THEN greatest(t.expires_at, {now}) - {now} END, l.queue
FROM {s}.lease l CROSS JOIN LATERAL (SELECT * FROM {s}.task t WHERE t.id = l.id OFFSET 0) t
WHERE l.worker = $2 AND l.fence = $3
ORDER BY t.priority, l.seq
