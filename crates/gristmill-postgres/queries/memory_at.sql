-- Index: the primary keys of memory and scheduled.
-- What a task stands still for.
SELECT code, text, until FROM {s}.memory m
WHERE task = $1 AND position = $2
  AND EXISTS (SELECT FROM {s}.scheduled s WHERE s.seq = m.seq AND s.id = m.task AND s.claim_no = m.claim_no OFFSET 0)
FOR UPDATE OF m
