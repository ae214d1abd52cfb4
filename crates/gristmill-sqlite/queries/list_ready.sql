-- Index: the primary key, in its order.
SELECT seq, kind FROM gristmill_ready
  WHERE queue = ?4 AND priority = ?5 AND seq < ?1 AND seq > ?2 ORDER BY seq DESC LIMIT ?3
