-- Index: the primary keys; leases are few.
SELECT count(*) FROM {s}.lease l CROSS JOIN LATERAL (SELECT * FROM {s}.task t WHERE t.id = l.id OFFSET 0) t
WHERE EXISTS (SELECT FROM {s}.scheduled s WHERE s.seq = l.seq)
   OR EXISTS (SELECT FROM {s}.ready r WHERE r.queue = t.queue AND r.priority = t.priority AND r.seq = l.seq)
