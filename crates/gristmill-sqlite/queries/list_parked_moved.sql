-- Index: gristmill_parked_moved, in its order.
SELECT task, queue, kind FROM gristmill_parked INDEXED BY gristmill_parked_moved
  WHERE task <> 0 AND task < ?1 AND task > ?2 ORDER BY task DESC LIMIT ?3
