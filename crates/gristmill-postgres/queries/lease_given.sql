-- Index: none on lease, as leases are few; the primary key of task.
SELECT l.id, l.seq, t.kind, l.attempt, l.claim_no, l.crashes, t.priority, false,
       t.ack, l.retention, t.max_attempts, t.created_at, t.args, t.meta, l.seq, l.queue
FROM {s}.lease l CROSS JOIN LATERAL (SELECT * FROM {s}.task t WHERE t.id = l.id OFFSET 0) t
WHERE l.worker = $1 AND l.fence = $2
ORDER BY t.priority, l.seq
