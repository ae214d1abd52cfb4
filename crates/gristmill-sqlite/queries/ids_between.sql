-- Index: the unique index on id, in its order.
SELECT id FROM gristmill_task WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3
