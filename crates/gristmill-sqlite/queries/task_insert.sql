-- Index: the unique index on id. Labels are written by whoever runs this; a trigger writes them for others.
INSERT INTO gristmill_task(id, queue, kind, priority, max_attempts, max_crashes, ack, retention,
                           created_at, run_at, expires_at, args, meta, labelled)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, CASE WHEN ?13 IS NOT NULL THEN 1 END)
  ON CONFLICT(id) DO NOTHING
