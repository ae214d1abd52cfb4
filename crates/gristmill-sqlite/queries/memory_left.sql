-- Index: gristmill_memory_child, in its order; the unique one on the id of task; the primary key of outcome.
-- Who has started workflows, from one place on, and whether that task has ended.
SELECT m.task, m.position, EXISTS (SELECT 1 FROM gristmill_outcome o WHERE o.seq = t.seq AND o.ended <> 0)
  FROM gristmill_memory m INDEXED BY gristmill_memory_child LEFT JOIN gristmill_task t ON t.id = m.task
  WHERE m.code IN (6, 7) AND m.dropped = 0 AND (m.task, m.position) > (?1, ?2) ORDER BY m.task, m.position LIMIT ?3
