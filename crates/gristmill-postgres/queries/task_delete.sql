-- Index: the primary keys of task and its partitions.
DELETE FROM {s}.task WHERE id = ANY($1)
