-- Index: the primary key, in its order.
SELECT seq FROM gristmill_parked
  WHERE queue = ?4 AND kind = ?5 AND priority = ?6 AND seq < ?1 AND seq > ?2 ORDER BY seq DESC LIMIT ?3
