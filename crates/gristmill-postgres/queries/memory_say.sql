-- Index: the primary key of memory.
UPDATE {s}.memory SET text = $3 WHERE task = $1 AND position = $2
