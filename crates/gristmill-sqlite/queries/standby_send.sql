-- Index: the primary key. Behind all that are there.
INSERT INTO gristmill_standby(key, late, task, needs)
VALUES (?1, 1 + max(1, coalesce((SELECT late FROM gristmill_standby WHERE key = ?1 ORDER BY late DESC LIMIT 1), 1)), ?2, ?3)
