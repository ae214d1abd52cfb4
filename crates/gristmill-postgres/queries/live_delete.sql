-- Index: the primary key.
DELETE FROM {s}.live WHERE id = ANY($1)
