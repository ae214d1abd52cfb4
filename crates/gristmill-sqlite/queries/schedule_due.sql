-- Index: gristmill_schedule_due, in its order.
SELECT name, owner, body, due_at, memory, revision, created_at, edited_at FROM gristmill_schedule
  WHERE due_at <= ?1 ORDER BY due_at, name LIMIT ?2
