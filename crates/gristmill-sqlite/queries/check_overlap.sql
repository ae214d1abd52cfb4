-- Index: the primary keys; leases are few.
SELECT count(*) FROM gristmill_lease l CROSS JOIN gristmill_task t ON t.seq = l.seq
  WHERE EXISTS (SELECT 1 FROM gristmill_scheduled s WHERE s.seq = l.seq)
     OR EXISTS (SELECT 1 FROM gristmill_ready r WHERE r.queue = t.queue AND r.priority = t.priority AND r.seq = l.seq)
