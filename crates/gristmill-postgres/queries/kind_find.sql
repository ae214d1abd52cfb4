-- Index: the unique index on name.
SELECT id, name, known FROM {s}.kind WHERE name = ANY($1)
