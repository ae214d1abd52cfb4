-- Index: gristmill_ready_moved, in its order.
SELECT task, queue, kind FROM gristmill_ready INDEXED BY gristmill_ready_moved
  WHERE task <> 0 AND task < ?1 AND task > ?2 ORDER BY task DESC LIMIT ?3
