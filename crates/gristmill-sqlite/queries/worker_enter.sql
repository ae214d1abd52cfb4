-- Index: the unique index on id.
INSERT INTO gristmill_worker(id, name, version, serves, started_at, expires_at, lease) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
  ON CONFLICT(id) DO UPDATE SET name = excluded.name, version = excluded.version, serves = excluded.serves,
                                expires_at = excluded.expires_at, lease = excluded.lease
