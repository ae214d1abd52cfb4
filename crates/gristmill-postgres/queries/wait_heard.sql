-- Index: memory_awaits, in its order.
-- The next $3 of those who wait for this, of each from behind a task on, but for those whom somebody else has in hand. Where their tasks are is
-- looked at when they are locked: whoever comes to wait locks them first.
SELECT x.awaits, m.task, m.seq, m.claim_no FROM unnest($1::text[], $2::uuid[]) AS x(awaits, after)
CROSS JOIN LATERAL (
  SELECT task, seq, claim_no FROM {s}.memory WHERE awaits = x.awaits AND task > x.after ORDER BY task LIMIT $3 FOR UPDATE SKIP LOCKED
) m
LIMIT $3
