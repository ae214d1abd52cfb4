-- Index: none: one row a worker process.
SELECT serves FROM gristmill_worker WHERE expires_at > ?1 AND lost = 0
