-- Index: memory_awaits; the primary key of scheduled.
-- These wait no longer for what has come, or their tasks have ended; but for those whom somebody has in hand where they wait.
UPDATE {s}.memory m SET awaits = NULL
FROM unnest($1::text[], $2::uuid[]) AS x(awaits, task)
WHERE m.awaits = x.awaits AND m.task = x.task AND NOT EXISTS (SELECT FROM {s}.scheduled s WHERE s.seq = m.seq AND s.id = m.task AND s.claim_no = m.claim_no OFFSET 0)
