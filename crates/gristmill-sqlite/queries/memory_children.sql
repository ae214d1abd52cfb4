-- Index: the primary key. The workflows that a task has started, from a position on.
SELECT position, code, text, until FROM gristmill_memory WHERE task = ?1 AND position >= ?2 AND code IN (6, 7)
