-- Index: gristmill_memory_awaits, in its order; the unique one on the id of task; the primary key of scheduled.
-- Those that await it, but for what only a newer version may move. One that is not put off just now is told as well: it may come to wait when
-- it is no longer kept.
SELECT m.task FROM gristmill_memory m INDEXED BY gristmill_memory_awaits
  JOIN gristmill_task t ON t.id = m.task LEFT JOIN gristmill_scheduled s ON s.seq = t.seq
  WHERE m.awaits = ?1 AND m.dropped = 0 AND coalesce(s.flags, 0) & ?2 = 0 ORDER BY m.task LIMIT ?3
