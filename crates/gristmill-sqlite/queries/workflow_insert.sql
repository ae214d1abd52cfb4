-- Index: the unique ones on id and on the key of those that go on; if either is taken, nothing is written.
INSERT INTO gristmill_workflow(id, name, key, tags, retention, ended, created_at, finished_at, keep_until, touched_at, definition, deadline, deadline_at)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?7, ?10, ?11, ?12)
  ON CONFLICT DO NOTHING
