-- Index: the primary key. What was awaited has come.
UPDATE gristmill_memory SET code = ?3, text = ?4, until = NULL, awaits = NULL WHERE task = ?1 AND awaits = ?2
