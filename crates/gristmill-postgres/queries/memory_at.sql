-- Index: the primary key of memory.
SELECT code, text, until FROM {s}.memory WHERE task = $1 AND position = $2 FOR UPDATE
