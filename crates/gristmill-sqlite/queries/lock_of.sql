-- Index: the primary key of lease; gristmill_lock_lease; the primary keys of task and worker. Those of one attempt.
SELECT k.name, k.token, k.taken_at, t.id, t.kind, w.name
  FROM gristmill_lease l CROSS JOIN gristmill_lock k ON k.lease = l.seq AND k.mark = l.mark
  CROSS JOIN gristmill_task t ON t.seq = l.seq LEFT JOIN gristmill_worker w ON w.key = l.worker
  WHERE l.seq = ?1 ORDER BY k.name
