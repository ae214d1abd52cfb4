-- Index: ready_by_kind, a range for each type and priority, which indexes.rs builds where it is of use; the primary keys of worker, queue, task.
-- As claim.sql; the last column tells of what somebody else was taking.
WITH {by_kind}, {taken}
SELECT b.id, b.seq, b.kind, b.attempt + 1, b.claim_no + 1, b.crashes, b.priority, b.late,
       b.ack, b.retention, b.max_attempts, b.created_at, b.args, b.meta, coalesce(b.arrival, b.seq),
       CASE WHEN NOT b.late THEN b.expires_at - {now} END, b.flags,
       (SELECT count(*) FROM head) < (SELECT count(*) FROM line)
FROM alive LEFT JOIN body b ON true
