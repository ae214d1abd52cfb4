-- Index: none: one row a worker process.
DELETE FROM gristmill_worker WHERE expires_at <= ?1
