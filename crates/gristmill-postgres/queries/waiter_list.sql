-- Index: memory_awaits, in its order.
SELECT awaits, task, text, until FROM {s}.memory
WHERE awaits IS NOT NULL AND awaits <= $1 AND (awaits, task) > ($2, $3) ORDER BY awaits, task LIMIT $4
