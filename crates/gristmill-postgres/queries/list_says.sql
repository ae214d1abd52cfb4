-- Index: the primary key.
SELECT id, kind, meta FROM {s}.task WHERE id = ANY($1)
