-- Index: the primary keys. Behind all that are there, and before all that are enqueued from now on, but for a few.
INSERT INTO gristmill_standby(key, late, task, needs)
VALUES (?1, 1 + max((SELECT max(seq) FROM gristmill_task) << 20, coalesce((SELECT late FROM gristmill_standby WHERE key = ?1 ORDER BY late DESC LIMIT 1), 0)), ?2, ?3)
