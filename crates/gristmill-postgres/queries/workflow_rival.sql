-- Index: the primary key; workflow_held.
-- The one that holds the key of another that has ended.
SELECT o.id FROM {s}.workflow w JOIN {s}.workflow o ON o.key = w.key AND o.key IS NOT NULL AND o.ended = 0 WHERE w.id = $1
