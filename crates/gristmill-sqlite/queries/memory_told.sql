-- Index: gristmill_memory_awaits, in its order; the unique one on the id of task; the primary key of scheduled.
-- Those that are put off until it comes and are for this version to move.
SELECT m.task FROM gristmill_memory m INDEXED BY gristmill_memory_awaits
  JOIN gristmill_task t ON t.id = m.task JOIN gristmill_scheduled s ON s.seq = t.seq
  WHERE m.awaits = ?1 AND m.dropped = 0 AND s.flags & ?2 = 0 ORDER BY m.task LIMIT ?3
