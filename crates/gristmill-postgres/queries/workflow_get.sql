-- Index: the primary key.
SELECT seq, id, name, key, tags, paused, cancelled, ended, attempt, created_at, finished_at, hold, deadline_at, overdue, definition
FROM {s}.workflow WHERE id = $1
