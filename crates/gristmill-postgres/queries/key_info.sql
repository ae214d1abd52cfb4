-- Index: the primary keys; standby_line.
SELECT k.key, k.declared, k.set_to, coalesce((SELECT sum(s.cost) FROM {s}.slot s WHERE s.key = k.key), 0)::bigint,
       (SELECT count(*) FROM (SELECT FROM {s}.standby b WHERE b.key = k.key LIMIT $2) b)
FROM {s}.key k WHERE k.key = $1
