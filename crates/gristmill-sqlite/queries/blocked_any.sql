-- Index: gristmill_blocked_queue.
SELECT EXISTS (SELECT 1 FROM gristmill_blocked WHERE queue = ?1)
