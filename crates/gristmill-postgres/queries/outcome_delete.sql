-- Index: the primary keys of outcome and its partitions.
DELETE FROM {s}.outcome WHERE id = ANY($1)
