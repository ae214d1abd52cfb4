-- Index: none on lease, as leases are few; lock_task; the primary keys of task and worker.
SELECT k.name, k.token, k.taken_at, k.task, (SELECT t.kind FROM {s}.task t WHERE t.id = k.task), w.name
FROM (
  SELECT k.*, l.worker FROM {s}.lease l
  CROSS JOIN LATERAL (SELECT * FROM {s}.lock k WHERE k.task = l.id AND k.fence = l.fence OFFSET 0) k
  WHERE k.name > $1 AND starts_with(k.name, $2) ORDER BY k.name LIMIT $3
) k LEFT JOIN {s}.worker w ON w.key = k.worker
ORDER BY k.name
