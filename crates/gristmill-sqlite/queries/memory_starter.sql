-- Index: the primary keys of task, outcome and memory. A task that did not succeed, if it has started workflows which nobody has seen to.
SELECT t.id FROM gristmill_task t WHERE t.seq = ?1
  AND EXISTS (SELECT 1 FROM gristmill_memory m WHERE m.task = t.id AND m.code IN (6, 7) AND m.dropped = 0)
  AND NOT EXISTS (SELECT 1 FROM gristmill_outcome o WHERE o.seq = t.seq AND o.ended = 1)
