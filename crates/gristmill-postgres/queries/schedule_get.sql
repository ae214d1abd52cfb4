-- Index: the primary key.
SELECT name, owner, body, due_at, memory, revision, created_at, edited_at FROM {s}.schedule WHERE name = $1
