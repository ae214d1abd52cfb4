-- Index: the primary key of task; leases are few.
SELECT count(*) FROM gristmill_lease l WHERE NOT EXISTS (SELECT 1 FROM gristmill_task t WHERE t.seq = l.seq)
