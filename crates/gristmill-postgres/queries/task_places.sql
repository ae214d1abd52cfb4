-- Index: the primary key.
SELECT id, seq, queue, kind, priority FROM {s}.task WHERE id = ANY($1)
