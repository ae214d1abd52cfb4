-- Index: the primary key.
SELECT id, ack, retention, max_attempts, created_at, expires_at, args, meta FROM gristmill_task WHERE seq = ?1
