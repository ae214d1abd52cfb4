-- Index: the primary key; takes at most ?1 rows.
DELETE FROM gristmill_touched WHERE key IN (SELECT key FROM gristmill_touched ORDER BY key LIMIT ?1) RETURNING key
