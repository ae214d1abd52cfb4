-- Index: the primary key, in its order.
SELECT seq FROM gristmill_label WHERE label = ?4 AND seq < ?1 AND seq > ?2 ORDER BY seq DESC LIMIT ?3
