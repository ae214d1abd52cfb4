-- Index: the primary key, in its order.
SELECT position, code, text, until, name, occurrence FROM gristmill_memory WHERE task = ?1 ORDER BY position
