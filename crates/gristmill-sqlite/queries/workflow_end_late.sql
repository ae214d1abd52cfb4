-- Index: the unique index on id. Its deadline has passed; one that can't be read is looked at again at ?2.
UPDATE gristmill_workflow SET overdue = ?2 IS NULL, deadline_at = coalesce(?2, deadline_at) WHERE id = ?1
