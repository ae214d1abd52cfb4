-- Index: the primary key, in its order.
SELECT seq, turn FROM gristmill_ready WHERE queue = ?1 AND priority = ?2 ORDER BY seq DESC, turn DESC LIMIT 1
