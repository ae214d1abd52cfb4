-- Index: the primary key.
SELECT position, code, text, until FROM gristmill_memory WHERE task = ?1 AND awaits IS NOT NULL
