-- Index: the primary key.
SELECT 1 FROM gristmill_memory WHERE task = ?1 AND position = ?2 AND name = ?3 AND occurrence = ?4 AND code = ?5
