-- Index: memory_awaits, in its order; the primary key of scheduled.
-- The next of those who wait for what is below $3, and whether they are where one waits.
SELECT m.awaits, m.task,
       EXISTS (SELECT FROM {s}.scheduled s WHERE s.seq = m.seq AND s.id = m.task AND s.claim_no = m.claim_no OFFSET 0)
FROM {s}.memory m
WHERE m.awaits IS NOT NULL AND m.awaits < $3 AND (m.awaits, m.task) > ($1, $2) ORDER BY m.awaits, m.task LIMIT $4
