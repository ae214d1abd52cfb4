-- Index: the primary keys; leases are few.
SELECT count(*) FROM {s}.lease l CROSS JOIN LATERAL (SELECT * FROM {s}.task t WHERE t.id = l.id OFFSET 0) t
{standing}
WHERE p.place IS NOT NULL
