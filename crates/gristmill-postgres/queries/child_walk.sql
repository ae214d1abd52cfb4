-- Index: memory_child, in its order; the primary key of scheduled.
-- The next of what tasks have started that may end before it, and whether they are where one waits.
SELECT m.task, m.position, m.code, m.text, m.until, EXISTS (SELECT FROM {s}.scheduled s WHERE s.seq = m.seq AND s.id = m.task OFFSET 0)
FROM {s}.memory m WHERE m.child AND (m.task, m.position) > ($1, $2) ORDER BY m.task, m.position LIMIT $3
