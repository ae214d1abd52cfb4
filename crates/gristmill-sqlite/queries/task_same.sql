-- Index: the unique index on id.
SELECT kind = ?2 AND args = ?3 FROM gristmill_task WHERE id = ?1
