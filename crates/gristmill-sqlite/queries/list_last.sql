-- Index: the primary key, from each end.
SELECT coalesce((SELECT min(seq) FROM gristmill_task), 0), coalesce((SELECT max(seq) FROM gristmill_task), -1)
