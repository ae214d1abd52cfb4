-- Index: none on lease, as leases are few; gristmill_lock_lease; the primary keys of task, kind and worker.
SELECT k.name, k.token, k.taken_at, t.id, t.kind, w.name
  FROM gristmill_lease l CROSS JOIN gristmill_lock k ON k.lease = l.seq AND k.mark = l.mark
  CROSS JOIN gristmill_task t ON t.seq = l.seq LEFT JOIN gristmill_worker w ON w.key = l.worker
  WHERE k.name > ?1 AND substr(k.name, 1, length(?2)) = ?2 ORDER BY k.name LIMIT ?3
