-- Index: the primary key of lease; lock_task; the primary keys of task and worker.
-- Those of one attempt.
SELECT k.name, k.token, k.taken_at, k.task, (SELECT t.kind FROM {s}.task t WHERE t.id = $1), w.name
FROM {s}.lease l
CROSS JOIN LATERAL (SELECT * FROM {s}.lock k WHERE k.task = $1 AND k.fence = l.fence OFFSET 0) k
LEFT JOIN {s}.worker w ON w.key = l.worker
WHERE l.id = $1 ORDER BY k.name
