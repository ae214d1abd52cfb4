-- Index: the primary key, in its order.
SELECT seq, task FROM gristmill_ready WHERE queue = ?1 AND priority = ?2 ORDER BY seq DESC, task DESC LIMIT 1
