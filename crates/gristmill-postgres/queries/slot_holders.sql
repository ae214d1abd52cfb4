-- Index: the primary keys.
SELECT s.task, s.cost, l.claimed_at FROM {s}.slot s LEFT JOIN {s}.lease l ON l.id = s.task WHERE s.key = $1 ORDER BY s.task LIMIT $2
