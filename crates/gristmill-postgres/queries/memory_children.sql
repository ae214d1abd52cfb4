-- Index: the primary key of memory.
-- What a task has started from a position on.
SELECT position, code, text, until FROM {s}.memory WHERE task = $1 AND position >= $2 AND code IN (6, 7)
