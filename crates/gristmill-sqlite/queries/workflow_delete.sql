-- Index: the unique index on id.
DELETE FROM gristmill_workflow WHERE id = ?1
