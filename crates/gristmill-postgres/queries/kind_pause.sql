-- Index: the unique index on name. Looked at first, as in kind_declare.
WITH there AS (
  UPDATE {s}.kind SET paused = $2, known = true WHERE name = $1 RETURNING id
)
INSERT INTO {s}.kind(name, paused, known) SELECT $1, $2, true WHERE NOT EXISTS (SELECT FROM there)
  ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, known = true
