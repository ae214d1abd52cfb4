-- Index: the unique one on id, gristmill_workflow_holder. What stands for one that is to be started.
SELECT id FROM gristmill_workflow WHERE id = ?1
UNION ALL SELECT id FROM gristmill_workflow WHERE key = ?2 AND ended = 0
LIMIT 1
