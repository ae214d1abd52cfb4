-- Index: the primary key.
-- What the end of an attempt or of a task, or its return, needs of the body. By ids that are known, so that a plan for them opens no other day.
SELECT id, seq, queue, kind, priority, max_attempts, max_crashes, ack, expires_at, retention, coalesce(flags, 0), workflow, step
FROM {s}.task WHERE id = ANY($1)
