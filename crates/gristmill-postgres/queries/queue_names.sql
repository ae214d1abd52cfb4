-- Index: the primary key.
SELECT id, name, known FROM {s}.queue WHERE id = ANY($1)
