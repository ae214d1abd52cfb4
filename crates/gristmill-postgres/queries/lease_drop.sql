-- Index: the primary key.
DELETE FROM {s}.lease WHERE id = $1 AND fence = $2
