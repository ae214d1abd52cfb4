-- Index: the primary key, in its order. Those that stand elsewhere in line than at their arrival are in list_parked_moved.
SELECT seq FROM gristmill_parked
  WHERE queue = ?4 AND kind = ?5 AND priority = ?6 AND seq < ?1 AND seq > ?2 AND task = 0 ORDER BY seq DESC LIMIT ?3
