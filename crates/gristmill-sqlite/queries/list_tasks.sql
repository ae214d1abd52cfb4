-- Index: the primary key, in its order.
SELECT seq, queue, kind, created_at FROM gristmill_task WHERE seq < ?1 AND seq > ?2 ORDER BY seq DESC LIMIT ?3
