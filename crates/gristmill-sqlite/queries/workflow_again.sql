-- Index: the unique index on id.
UPDATE gristmill_workflow SET attempt = attempt + 1, overdue = 0, deadline_at = ?2 + deadline WHERE id = ?1 RETURNING attempt, deadline_at
