-- Index: the primary key, in its order.
SELECT seq, created_at FROM gristmill_task WHERE seq >= ?1 ORDER BY seq LIMIT 1
