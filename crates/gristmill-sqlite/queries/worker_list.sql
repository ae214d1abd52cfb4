-- Index: none: one row a worker process, all of them wanted.
SELECT id, name, version, serves, started_at, expires_at, key, lost, drain FROM gristmill_worker ORDER BY started_at DESC, key DESC
