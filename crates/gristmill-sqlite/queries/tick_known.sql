-- Index: the primary key.
-- One without a task that was written in the future, while the clock was ahead, stands in no one's way when its time comes.
SELECT EXISTS (SELECT 1 FROM gristmill_tick WHERE schedule = ?1 AND at = ?2 AND (task IS NOT NULL OR written_at <= ?3))
