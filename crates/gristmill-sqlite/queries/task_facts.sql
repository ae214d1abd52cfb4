-- Index: the primary key.
SELECT id, queue, kind, priority, max_attempts, max_crashes, ack, retention, expires_at FROM gristmill_task WHERE seq = ?1
