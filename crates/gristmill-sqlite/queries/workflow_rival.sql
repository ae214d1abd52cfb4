-- Index: the unique one on id, gristmill_workflow_holder. The one that holds the key of another that has ended.
SELECT o.id FROM gristmill_workflow w JOIN gristmill_workflow o ON o.key = w.key AND o.key IS NOT NULL AND o.ended = 0 WHERE w.id = ?1
