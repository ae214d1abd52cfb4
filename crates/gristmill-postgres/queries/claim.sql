-- Index: the primary key of ready, one range for each priority; the primary keys of worker, queue, task.
WITH {in_line}, {taken}
SELECT b.id, b.seq, b.kind, b.attempt + 1, b.claim_no + 1, b.crashes, b.priority, b.late,
       b.ack, b.retention, b.max_attempts, b.created_at, b.args, b.meta, coalesce(b.arrival, b.seq),
       CASE WHEN NOT b.late THEN b.expires_at - {now} END, b.flags
FROM alive LEFT JOIN body b ON true
