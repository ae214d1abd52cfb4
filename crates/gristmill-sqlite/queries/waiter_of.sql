-- Index: gristmill_memory_awaits, in its order; the unique one on the id of task; the primary key of outcome.
SELECT m.task, m.code, m.text, m.until FROM gristmill_memory m INDEXED BY gristmill_memory_awaits JOIN gristmill_task t ON t.id = m.task
  WHERE m.awaits = ?2 AND m.dropped = 0
    AND NOT EXISTS (SELECT 1 FROM gristmill_outcome o WHERE o.seq = t.seq AND o.ended <> 0)
  ORDER BY m.task LIMIT ?1
