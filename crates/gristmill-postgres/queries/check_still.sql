-- Index: memory_mismatch, in its order; the primary key of scheduled.
SELECT m.task FROM {s}.memory m
WHERE m.code = 8 AND EXISTS (SELECT FROM {s}.scheduled s WHERE s.seq = m.seq AND s.id = m.task AND s.claim_no = m.claim_no OFFSET 0) ORDER BY m.task LIMIT $1
