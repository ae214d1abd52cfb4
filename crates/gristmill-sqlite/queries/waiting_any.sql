-- Index: gristmill_waiting_queue.
SELECT EXISTS (SELECT 1 FROM gristmill_waiting WHERE queue = ?1)
