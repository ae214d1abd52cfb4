-- Index: the primary key; reads at most ?4 rows.
SELECT count(*) FROM (SELECT 1 FROM gristmill_standby WHERE key = ?1 AND (late, task) < (?2, ?3) LIMIT ?4)
