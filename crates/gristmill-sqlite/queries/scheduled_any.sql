-- Index: gristmill_scheduled_queue.
SELECT EXISTS (SELECT 1 FROM gristmill_scheduled WHERE queue = ?1 AND run_at <= ?2)
