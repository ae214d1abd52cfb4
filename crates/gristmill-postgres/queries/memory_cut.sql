-- Index: the primary key of memory.
DELETE FROM {s}.memory WHERE task = $1 AND position >= $2
