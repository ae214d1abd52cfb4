-- Index: the primary key.
-- What others take at this moment is theirs.
DELETE FROM {s}.touched WHERE id IN (SELECT id FROM {s}.touched ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING key, declared, said_by
