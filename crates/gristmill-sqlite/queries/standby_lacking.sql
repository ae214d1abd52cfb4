-- Index: the primary key of waiting; gristmill_standby_task; reads at most ?2 rows.
-- Waiting tasks behind ?1, and whether they stand in no line.
SELECT w.seq, NOT EXISTS (SELECT 1 FROM gristmill_standby b WHERE b.task = w.seq)
FROM gristmill_waiting w WHERE w.seq > ?1 ORDER BY w.seq LIMIT ?2
