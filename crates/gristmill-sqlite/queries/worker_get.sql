-- Index: the unique index on id.
SELECT key, name, serves, expires_at, lost, epoch FROM gristmill_worker WHERE id = ?1
