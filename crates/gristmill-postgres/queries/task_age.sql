-- Index: the primary key.
UPDATE {s}.task SET priority = 0 WHERE id = ANY($1)
