-- Index: the primary key.
UPDATE {s}.task SET queue = $2 WHERE id = ANY($1)
