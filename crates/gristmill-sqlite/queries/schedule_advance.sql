-- Index: the unique index on name.
UPDATE gristmill_schedule SET due_at = ?2, memory = ?3, revision = ?4 WHERE name = ?1
