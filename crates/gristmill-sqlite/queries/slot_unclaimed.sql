-- Index: the primary keys; reads all that is taken of one key.
-- What is taken of a key by tasks that nobody runs, those first that came last.
SELECT task, cost FROM gristmill_slot s
WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM gristmill_lease l WHERE l.seq = s.task)
ORDER BY task DESC LIMIT ?2
