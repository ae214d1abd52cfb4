-- Index: none: one row a worker process.
SELECT key, expires_at, lease FROM gristmill_worker WHERE lost = 0
