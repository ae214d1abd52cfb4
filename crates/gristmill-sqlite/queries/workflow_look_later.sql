-- Index: the unique index on id. One that can't be read is looked at again only after as long as others.
UPDATE gristmill_workflow SET touched_at = ?2 WHERE id = ?1
