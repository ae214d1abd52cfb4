-- Index: the unique index on id.
-- Whether the task ?1 has this type and these arguments, of which null stands for any.
SELECT kind = ?2 AND coalesce(args = ?3, 1) FROM gristmill_task WHERE id = ?1
