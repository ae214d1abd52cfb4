-- Index: the primary key of task; leases are few.
SELECT count(*) FROM {s}.lease l WHERE NOT EXISTS (SELECT FROM {s}.task t WHERE t.id = l.id)
