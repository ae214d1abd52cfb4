-- Index: the primary key.
SELECT code, text, until FROM gristmill_memory WHERE task = ?1 AND position = ?2
