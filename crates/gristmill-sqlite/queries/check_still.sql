-- Index: gristmill_memory_mismatch, in its order; the unique one on the id of task; the primary key of scheduled.
SELECT m.task FROM gristmill_memory m INDEXED BY gristmill_memory_mismatch
  JOIN gristmill_task t ON t.id = m.task JOIN gristmill_scheduled s ON s.seq = t.seq
  WHERE m.code = 8 AND m.dropped = 0 ORDER BY m.task LIMIT ?1
