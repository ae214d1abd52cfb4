-- Index: none on lease, as leases are few; the primary key of task.
SELECT t.id, t.ack, t.retention, t.max_attempts, t.created_at, t.expires_at, t.args, t.meta,
       l.mark, l.seq, l.queue, t.kind, l.attempt, l.claim_no, l.crashes
FROM gristmill_lease l CROSS JOIN gristmill_task t ON t.seq = l.seq
WHERE l.worker = ?1
ORDER BY t.priority, l.seq
