-- Index: the primary key.
SELECT id FROM {s}.task WHERE id = ANY($1)
