-- Index: the primary key.
SELECT task, needs FROM gristmill_standby WHERE key = ?1 ORDER BY late, task LIMIT ?2
