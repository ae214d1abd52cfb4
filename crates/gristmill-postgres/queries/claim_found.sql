-- Index: the primary keys of worker and task.
-- Takes what find.sql has found and locked, in the same transaction. Planned for these ids, it opens no other day than theirs.
WITH head AS MATERIALIZED (
  SELECT x.at::tid AS at FROM unnest($5::text[]) AS x(at)
), {taken_found}
SELECT b.id, b.seq, b.kind, b.attempt + 1, b.claim_no + 1, b.crashes, b.priority, b.late,
       b.ack, b.retention, b.max_attempts, b.created_at, b.args, b.meta, coalesce(b.arrival, b.seq),
       CASE WHEN NOT b.late THEN b.expires_at - {now} END, b.flags
FROM body b
