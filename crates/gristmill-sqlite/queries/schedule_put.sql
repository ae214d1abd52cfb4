-- Index: the unique index on name.
INSERT INTO gristmill_schedule(name, owner, body, due_at, memory, revision, created_at, edited_at)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)
  ON CONFLICT(name) DO UPDATE SET owner = excluded.owner, body = excluded.body, due_at = excluded.due_at,
    memory = excluded.memory, revision = excluded.revision, edited_at = excluded.edited_at
