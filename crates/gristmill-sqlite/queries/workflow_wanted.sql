-- Index: the unique index on id.
SELECT 1 FROM gristmill_workflow WHERE id = ?1 AND ended = 0 AND cancelled = 0
