-- Index: none on lease, as leases are few; the primary key of task.
SELECT l.id, l.seq, t.queue, t.kind
FROM (SELECT id, seq FROM {s}.lease WHERE seq < $1 ORDER BY seq DESC LIMIT $2) l
CROSS JOIN LATERAL (SELECT queue, kind FROM {s}.task t WHERE t.id = l.id OFFSET 0) t
