-- Index: the primary keys of task and its partitions, in their order.
SELECT id FROM {s}.task WHERE id >= $1 AND id <= $2 ORDER BY id LIMIT $3
