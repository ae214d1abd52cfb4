-- Index: the primary key, in its order.
SELECT name, owner, body, due_at, memory, revision, created_at, edited_at FROM {s}.schedule
WHERE name > $1 ORDER BY name LIMIT $2
