-- Index: the primary keys, in its order.
SELECT r.task, r.queue, r.kind FROM gristmill_moved m
  CROSS JOIN gristmill_ready r ON r.queue = m.queue AND r.priority = m.priority AND r.seq = m.seq AND r.turn = m.turn
  WHERE m.task < ?1 AND m.task > ?2 ORDER BY m.task DESC LIMIT ?3
