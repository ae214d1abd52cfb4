-- Index: the unique index on name.
SELECT name, owner, body, due_at, memory, revision, created_at, edited_at FROM gristmill_schedule WHERE name = ?1
