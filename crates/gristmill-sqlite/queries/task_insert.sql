-- Index: the unique index on id. Labels are written by whoever runs this, or else by sweeps.
INSERT INTO gristmill_task(id, queue, kind, priority, max_attempts, max_crashes, ack, retention,
                           created_at, run_at, expires_at, args, meta, labelled)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
  ON CONFLICT(id) DO NOTHING
