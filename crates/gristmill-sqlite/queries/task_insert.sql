-- Index: the unique index on id.
INSERT INTO gristmill_task(id, queue, kind, priority, max_attempts, max_crashes, ack, retention,
                           created_at, run_at, expires_at, args, meta)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
  ON CONFLICT(id) DO NOTHING
