-- Index: the primary key; key_look.
-- What others take at this moment is theirs. And those keys with a rate of which somebody may begin by now.
WITH taken AS (
  DELETE FROM {s}.touched WHERE id IN (SELECT id FROM {s}.touched ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)
  RETURNING key, declared, pace, said_by
)
SELECT key, declared, pace, said_by, {now} FROM taken
UNION ALL (SELECT key, NULL, NULL, NULL, {now} FROM {s}.key WHERE look_at <= {now} ORDER BY look_at LIMIT $2)
