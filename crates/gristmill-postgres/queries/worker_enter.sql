-- Index: the unique index on id.
INSERT INTO {s}.worker(id, name, version, serves, started_at, expires_at, lease) VALUES ($2, $3, $4, $5, {now}, {now} + $6, $6)
  ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = excluded.version, serves = excluded.serves,
                                 expires_at = excluded.expires_at, lease = excluded.lease,
                                 epoch = worker.epoch + 1
