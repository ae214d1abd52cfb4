-- Index: the primary keys.
SELECT t.id, s.cost, l.claimed_at
FROM gristmill_slot s JOIN gristmill_task t ON t.seq = s.task LEFT JOIN gristmill_lease l ON l.seq = s.task
WHERE s.key = ?1 ORDER BY s.task LIMIT ?2
