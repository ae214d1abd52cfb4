-- Index: the primary key, in its order. Those that stand elsewhere in line than at their arrival are in list_ready_moved.
SELECT seq, kind FROM gristmill_ready
  WHERE queue = ?4 AND priority = ?5 AND seq < ?1 AND seq > ?2 AND task = 0 ORDER BY seq DESC LIMIT ?3
