-- Index: the primary keys; standby_line.
SELECT k.said_by, k.declared, k.pace, k.set_to, k.set_pace, k.spent, coalesce((SELECT sum(s.cost) FROM {s}.slot s WHERE s.key = k.key), 0)::bigint, k.look_at,
       {now}, k.key, (SELECT count(*) FROM (SELECT FROM {s}.standby b WHERE b.key = k.key LIMIT $3) b)
FROM {s}.key k WHERE k.key = $2
