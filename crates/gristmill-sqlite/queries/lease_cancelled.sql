-- Index: gristmill_lease_cancel, then the primary key of task.
SELECT l.seq, l.mark, t.id FROM gristmill_lease l CROSS JOIN gristmill_task t ON t.seq = l.seq
  WHERE l.worker = ?1 AND l.cancel = 1 ORDER BY l.seq
