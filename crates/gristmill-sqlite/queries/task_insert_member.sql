-- Index: the unique index on id. As task_insert, with the step of which it is a member.
INSERT INTO gristmill_task(id, queue, kind, priority, max_attempts, max_crashes, ack, retention,
                           created_at, run_at, expires_at, args, meta, labelled, workflow, step, place)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
  ON CONFLICT(id) DO NOTHING
