-- Index: none: one row a worker process, all of them wanted.
SELECT id, name, version, serves, started_at, expires_at, expires_at > {now} AND NOT lost, key, drain
FROM {s}.worker ORDER BY started_at DESC, key DESC
