-- Index: the primary keys of memory and lease.
-- All that a task remembers, and what time it is. What is left of another one that had its id is none of its.
SELECT {now}, m.position, m.name, m.occurrence, m.code, m.text, m.until
FROM (VALUES (1)) AS one(row)
LEFT JOIN {s}.memory m ON m.task = $2 AND m.seq = coalesce((SELECT l.seq FROM {s}.lease l WHERE l.id = $2), m.seq)
