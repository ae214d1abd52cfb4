-- Index: the primary key.
SELECT id, name, known FROM {s}.kind WHERE id = ANY($1)
