-- Index: the unique index on name.
SELECT id, name, known FROM {s}.queue WHERE name = ANY($1)
